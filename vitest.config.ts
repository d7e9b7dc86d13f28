import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    exclude: ['**/node_modules/**', 'conformance/browser*.test.ts'],
    include: ['{api,contract,reference,runtime,wasm,gpu,models,conformance,cli,scripts}/**/*.test.ts'],
    testTimeout: 60_000,
    coverage: { provider: 'v8', reporter: ['text', 'json-summary'] },
  },
});
