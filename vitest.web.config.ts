import { defineConfig } from 'vitest/config';

/** The pages of examples/, driven in Chromium from Node. CHROMIUM names the browser. */
export default defineConfig({ test: { include: ['examples/*/*.test.ts'], testTimeout: 60_000 } });
