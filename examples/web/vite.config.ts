import { defineConfig } from 'vite';

/** `npm run web` serves the page; `npm run web -- build` writes it to examples/web/dist, to be put anywhere. */
export default defineConfig({
  root: import.meta.dirname,
  base: './',
  server: { fs: { allow: ['../..'] } },
  build: { target: 'es2023', chunkSizeWarningLimit: 700 },
});
