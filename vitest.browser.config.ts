import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';

/** The kernels and the oracle in Chromium. CHROMIUM names the browser; CI installs it and must have it. */
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** What a page needs before it may share memory between threads. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig({
  server: { headers: isolation },
  test: {
    include: ['wasm/{attention,dense-kernels}.test.ts', 'conformance/browser.test.ts'],
    testTimeout: 120_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          executablePath,
          args: [
            '--no-sandbox',
            '--disable-gpu',
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
