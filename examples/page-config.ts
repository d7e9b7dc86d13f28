/** How the pages of this folder are served and built: `npm run web`, `npm run web -- build`, and the same with `web:backends`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const conformance = join(import.meta.dirname, '../conformance');

/** What a page needs before it may share memory between threads. A host that does not send them takes the threads away, and no more. */
export const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** For a page in `root`. Its build, in `dist` there, can be put anywhere. */
export const pageConfig = (root: string, plugins: readonly Plugin[] = []) =>
  defineConfig({
    root,
    base: './',
    plugins: [...plugins],
    server: { fs: { allow: [join(import.meta.dirname, '..')] }, headers: isolation },
    preview: { headers: isolation },
    worker: { format: 'es' },
    build: { target: 'es2023', chunkSizeWarningLimit: 700 },
  });

/** The oracle's files beside the page, under conformance/: served from the repository, and written into a build. */
export function oracleFiles(): Plugin {
  const paths = async (): Promise<string[]> => {
    const manifest = JSON.parse(await readFile(join(conformance, 'manifest.json'), 'utf8')) as { files: object };
    return ['manifest.json', 'schema/case.schema.json', ...Object.keys(manifest.files)];
  };
  return {
    name: 'oracle-files',
    configureServer(server) {
      server.middlewares.use('/conformance/', async (request, response, next) => {
        const path = decodeURIComponent(request.url?.replace(/^\/|\?.*$/g, '') ?? '');
        if (!(await paths()).includes(path)) return next();
        response.end(await readFile(join(conformance, path)));
      });
    },
    async generateBundle() {
      for (const path of await paths()) {
        const source = await readFile(join(conformance, path));
        this.emitFile({ type: 'asset', fileName: `conformance/${path}`, source });
      }
    },
  };
}
