/**
 * For tests: a hub on this machine that serves repositories from memory, and misbehaves when told to.
 *
 * It answers what the client asks: revision, paths-info, resolve with ranges and a redirect to another origin, as the hub does for large files.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the next download of a file does wrong. */
export interface Fault {
  /** The connection ends after so many bytes of the body. */
  readonly cutAfter?: number;
  readonly status?: number;
  /** Ranges are not looked at: 200 and the whole file. */
  readonly ignoreRange?: boolean;
  /** Other bytes of the same length. */
  readonly corrupt?: boolean;
  /** More bytes than the hub says the file has. */
  readonly tooMany?: boolean;
  /** Where a redirect leads. */
  readonly location?: string;
  /** Never sends anything after the headers. */
  readonly hang?: boolean;
}

export interface FakeHub {
  readonly url: string;
  readonly files: Map<string, Buffer>;
  /** Faults of a file, used up one by one. */
  readonly faults: Map<string, Fault[]>;
  /** Requests seen: method and path, with the range and whether a token came along. */
  readonly log: string[];
  /** Everybody else is refused. */
  token: string | undefined;
  close(): Promise<void>;
}

export const fakeCommit = 'c0ffee'.padEnd(40, '0');
const largeFile = /\.(safetensors|bin)$/;

const sha = (algorithm: string, bytes: Buffer, head = ''): string =>
  createHash(algorithm).update(head).update(bytes).digest('hex');

/** Serves `files` as the repository `tiny/model`. */
export async function startFakeHub(files: Readonly<Record<string, string | Buffer>>): Promise<FakeHub> {
  const content = new Map(Object.entries(files).map(([name, data]) => [name, Buffer.from(data)]));
  const faults = new Map<string, Fault[]>();
  const log: string[] = [];
  const store = await listen((request, response) => serveFile(request, response, 'cdn'));
  const hub = await listen((request, response) => serveHub(request, response));
  const fake: FakeHub = {
    url: address(hub),
    files: content,
    faults,
    log,
    token: undefined,
    close: async () => {
      for (const server of [hub, store]) {
        server.closeAllConnections();
        await new Promise(resolve => server.close(resolve));
      }
    },
  };
  return fake;

  async function serveHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(request.url!);
    note('hub', request);
    if (fake.token !== undefined && request.headers.authorization !== `Bearer ${fake.token}`) return end(response, 401);
    const fault = path.startsWith('/api/') ? take('api') : undefined;
    if (fault?.status !== undefined) return end(response, fault.status);
    if (/^\/api\/models\/tiny\/model\/revision\/(main|v1)(\?|$)/.test(path)) {
      return json(response, { id: 'tiny/model', modelId: 'tiny/model', sha: fakeCommit, tags: [] });
    }
    if (path === `/api/models/tiny/model/paths-info/${fakeCommit}`) {
      const { paths } = JSON.parse(await textOf(request)) as { paths: string[] };
      return json(response, paths.filter(name => content.has(name)).map(infoOf));
    }
    if (path.startsWith('/tiny/model/resolve/')) {
      const name = path.split('/').slice(5).join('/');
      if (largeFile.test(name) && content.has(name)) {
        return end(response, 302, { location: `${address(store)}/${name}` });
      }
      return serveFile(request, response, 'hub');
    }
    return end(response, 404);
  }

  function infoOf(path: string): object {
    const bytes = content.get(path)!;
    const oid = sha('sha1', bytes, `blob ${bytes.length}\0`);
    const lfs = { oid: sha('sha256', bytes), size: bytes.length, pointerSize: 130 };
    return { type: 'file', path, size: bytes.length, oid, ...(largeFile.test(path) ? { lfs } : {}) };
  }

  function serveFile(request: IncomingMessage, response: ServerResponse, where: string): void {
    if (where === 'cdn') note(where, request);
    const name = decodeURIComponent(request.url!)
      .split('/')
      .slice(where === 'cdn' ? 1 : 5)
      .join('/');
    let bytes = content.get(name);
    const fault = take(name) ?? {};
    if (!bytes || fault.status !== undefined) {
      end(response, fault.status ?? 404, { 'retry-after': '0' });
      return;
    }
    if (fault.location !== undefined) {
      end(response, 302, { location: fault.location });
      return;
    }
    if (fault.corrupt) bytes = Buffer.from(bytes.map(byte => byte ^ 1));
    if (fault.tooMany) bytes = Buffer.concat([bytes, bytes]);
    const range = fault.ignoreRange ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const begin = range ? Number(range[1]) : 0;
    const until = range?.[2] ? Number(range[2]) + 1 : bytes.length;
    const headers: Record<string, string | number> = {
      etag: `"${sha('sha1', bytes)}"`,
      'content-length': until - begin,
    };
    if (range) headers['content-range'] = `bytes ${begin}-${until - 1}/${bytes.length}`;
    response.writeHead(range ? 206 : 200, headers);
    if (fault.hang) return void response.flushHeaders();
    if (fault.cutAfter === undefined) return void response.end(bytes.subarray(begin, until));
    response.write(bytes.subarray(begin, begin + fault.cutAfter), () => setTimeout(() => response.destroy(), 20));
  }

  function take(name: string): Fault | undefined {
    return faults.get(name)?.shift();
  }

  function note(where: string, { method, url, headers }: IncomingMessage): void {
    const range = headers.range === undefined ? '' : ` ${headers.range}`;
    log.push(
      `${where} ${method} ${decodeURIComponent(url!)}${range}${headers.authorization === undefined ? '' : ' with token'}`,
    );
  }
}

async function listen(serve: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer((request, response) => serve(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const address = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function end(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, headers).end();
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request) text += piece;
  return text;
}
