import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

/**
 * WebGPU, and WebGL2 through gpu.js, in Chromium; on SwiftShader where there is no GPU. A configuration of its own: the flags of vitest.browser.config.ts switch
 * the GPU process off, and this one needs it. CHROMIUM names the browser.
 */
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

export default defineConfig({
  test: {
    include: ['conformance/browser-{webgpu,gpujs,gpujs-model}.test.ts'],
    // One page at a time: what plays GPU has few cores.
    fileParallelism: false,
    testTimeout: 300_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          executablePath,
          args: [
            '--no-sandbox',
            '--enable-unsafe-webgpu',
            '--disable-quic',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
            '--no-first-run',
          ],
        },
      }),
      instances: [{ browser: 'chromium' }],
    },
  },
});
