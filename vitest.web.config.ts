import { defineConfig } from 'vitest/config';

/** The page of examples/web, driven in Chromium from Node. CHROMIUM names the browser. */
export default defineConfig({ test: { include: ['examples/web/*.test.ts'], testTimeout: 60_000 } });
