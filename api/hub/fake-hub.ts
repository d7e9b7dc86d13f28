/**
 * For tests: a hub on this machine that serves repositories from memory, and misbehaves when told to.
 *
 * It answers what this package and Python's huggingface_hub ask: revision, tree, paths-info, resolve (HEAD and GET) with ranges, and a
 * redirect of large files to another origin, as the hub does.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What one answer does wrong. */
export interface Fault {
  /** The connection ends after so many bytes of the body. */
  readonly cutAfter?: number;
  /** With cutAfter: no length is announced, so that the end of the connection looks like the end of the file. */
  readonly noLength?: boolean;
  readonly status?: number;
  /** X-Error-Code. */
  readonly errorCode?: string;
  readonly retryAfter?: string;
  /** Ranges are not looked at: 200 and the whole file. */
  readonly ignoreRange?: boolean;
  /** 206 with a part that begins elsewhere. */
  readonly wrongRange?: boolean;
  /** Other bytes of the same length. */
  readonly corrupt?: boolean;
  /** More bytes than the hub says the file has. */
  readonly tooMany?: boolean;
  /** Content-Length says so, whatever comes. */
  readonly declares?: number;
  /** No Content-Length. */
  readonly chunked?: boolean;
  /** Where a redirect leads. */
  readonly location?: string;
  /** Never sends anything after the headers. */
  readonly hang?: boolean;
  /** One byte every so many milliseconds. */
  readonly trickleMs?: number;
  /** The answer of the API. */
  readonly text?: string;
  /** Called when the answer has been sent. */
  readonly afterwards?: () => void;
}

export interface FakeHub {
  readonly url: string;
  /** Another origin, which notes what it is asked for and serves the same files. */
  readonly storeUrl: string;
  readonly files: Map<string, Buffer>;
  /** Faults of a file, or of 'api', used up one by one. */
  readonly faults: Map<string, Fault[]>;
  /** Requests seen: method and path, with the range and whether a token came along. */
  readonly log: string[];
  /** Everybody else is refused. */
  token: string | undefined;
  close(): Promise<void>;
}

export const fakeCommit = 'c0ffee'.padEnd(40, '0');
const largeFile = /\.(safetensors|bin)$/;
const revisions = ['main', 'v1', 'refs/pr/7', fakeCommit];

const sha = (algorithm: string, bytes: Buffer, head = ''): string =>
  createHash(algorithm).update(head).update(bytes).digest('hex');

/** Name of the blob: what the hub calls its ETag. */
export const hashOfBlob = (path: string, bytes: Buffer): string =>
  largeFile.test(path) ? sha('sha256', bytes) : sha('sha1', bytes, `blob ${bytes.length}\0`);

/** Serves `files` as the repository `tiny/model`. */
export async function startFakeHub(files: Readonly<Record<string, string | Buffer>>): Promise<FakeHub> {
  const content = new Map(Object.entries(files).map(([name, data]) => [name, Buffer.from(data)]));
  const faults = new Map<string, Fault[]>();
  const log: string[] = [];
  const store = await listen((request, response) => serveStore(request, response));
  const hub = await listen((request, response) => serveHub(request, response));
  const fake: FakeHub = {
    url: address(hub),
    storeUrl: address(store),
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

  async function serveHub(request: IncomingMessage, response: ServerResponse) {
    note('hub', request);
    const [path = ''] = request.url!.split('?');
    if (fake.token !== undefined && request.headers.authorization !== `Bearer ${fake.token}`) return end(response, 401);
    if (path.startsWith('/api/')) {
      const fault = take('api');
      if (fault) return sendFault(response, fault);
    }
    const match = /^(?:\/api\/models)?\/tiny\/model\/(revision|tree|paths-info|resolve)\/([^/]+)(?:\/(.*))?$/.exec(
      path,
    );
    if (!match) return end(response, 404, { 'x-error-code': 'RepoNotFound' });
    const revision = decodeURIComponent(match[2]!);
    if (!revisions.includes(revision)) return end(response, 404, { 'x-error-code': 'RevisionNotFound' });
    switch (match[1]) {
      case 'revision':
        return json(response, describeModel());
      case 'tree':
        return json(response, [...content.keys()].map(infoOf));
      case 'paths-info': {
        const { paths } = await askedPaths(request);
        return json(response, paths.filter(name => content.has(name)).map(infoOf));
      }
    }
    serveResolve(request, response, decodeURIComponent(match[3] ?? ''));
  }

  function serveResolve(request: IncomingMessage, response: ServerResponse, name: string) {
    const bytes = content.get(name);
    if (!bytes) return end(response, 404, { 'x-error-code': 'EntryNotFound', 'x-repo-commit': fakeCommit });
    const hash = hashOfBlob(name, bytes);
    if (!largeFile.test(name)) {
      return serveFile(request, response, name, { 'x-repo-commit': fakeCommit, etag: `"${hash}"` });
    }
    end(response, 302, {
      'x-repo-commit': fakeCommit,
      'x-linked-etag': `"${hash}"`,
      'x-linked-size': String(bytes.length),
      location: `${address(store)}/${name}`,
    });
  }

  function describeModel(): object {
    const siblings = [...content.keys()].map(rfilename => ({ rfilename }));
    return { _id: '1', id: 'tiny/model', modelId: 'tiny/model', sha: fakeCommit, tags: [], siblings, downloads: 0 };
  }

  function infoOf(path: string): object {
    const bytes = content.get(path)!;
    const lfs = { oid: sha('sha256', bytes), size: bytes.length, pointerSize: 130 };
    const oid = sha('sha1', bytes, `blob ${bytes.length}\0`);
    return { type: 'file', path, size: bytes.length, oid, ...(largeFile.test(path) ? { lfs } : {}) };
  }

  function serveStore(request: IncomingMessage, response: ServerResponse) {
    note('cdn', request);
    const name = decodeURIComponent(request.url!).slice(1);
    if (!content.has(name)) return end(response, 404);
    serveFile(request, response, name, { etag: `"store-${sha('sha1', content.get(name)!)}"` });
  }

  function serveFile(
    request: IncomingMessage,
    response: ServerResponse,
    name: string,
    more: Readonly<Record<string, string>>,
  ) {
    const headers: Record<string, string | number> = { ...more };
    const fault = request.method === 'HEAD' ? {} : (take(name) ?? {});
    let bytes = content.get(name)!;
    if (fault.status !== undefined || fault.location !== undefined) return sendFault(response, fault);
    if (fault.corrupt) bytes = Buffer.from(bytes.map(byte => byte ^ 1));
    if (fault.tooMany) bytes = Buffer.concat([bytes, bytes]);
    const changed = request.headers['if-range'] !== undefined && request.headers['if-range'] !== more.etag;
    const asked = fault.ignoreRange || changed ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const begin = asked ? Number(asked[1]) : 0;
    if (asked && begin >= bytes.length) return end(response, 416, { 'content-range': `bytes */${bytes.length}` });
    const until = asked?.[2] ? Math.min(Number(asked[2]) + 1, bytes.length) : bytes.length;
    if (!fault.chunked && !fault.noLength) headers['content-length'] = fault.declares ?? until - begin;
    if (asked) headers['content-range'] = `bytes ${begin - (fault.wrongRange ? 1 : 0)}-${until - 1}/${bytes.length}`;
    if (fault.noLength) response.useChunkedEncodingByDefault = false;
    response.shouldKeepAlive = !fault.noLength;
    response.once('close', () => fault.afterwards?.());
    response.writeHead(asked ? 206 : 200, headers);
    if (request.method === 'HEAD') return response.end();
    if (fault.hang) return response.flushHeaders();
    if (fault.trickleMs !== undefined) return trickle(response, bytes.subarray(begin, until), fault.trickleMs);
    if (fault.cutAfter === undefined) return response.end(bytes.subarray(begin, until));
    const some = bytes.subarray(begin, begin + fault.cutAfter);
    if (fault.noLength) return response.end(some);
    response.write(some, () => setTimeout(() => response.destroy(), 20));
  }

  function take(name: string): Fault | undefined {
    return faults.get(name)?.shift();
  }

  function note(where: string, { method, url, headers }: IncomingMessage): void {
    const range = headers.range === undefined ? '' : ` ${headers.range}`;
    const token = headers.authorization === undefined ? '' : ' with token';
    log.push(`${where} ${method} ${decodeURIComponent(url!)}${range}${token}`);
  }
}

function sendFault(response: ServerResponse, fault: Fault): void {
  if (fault.hang) return; // not even headers
  const headers: Record<string, string> = {};
  if (fault.location !== undefined) headers.location = fault.location;
  if (fault.errorCode !== undefined) headers['x-error-code'] = fault.errorCode;
  if (fault.retryAfter !== undefined) headers['retry-after'] = fault.retryAfter;
  response.writeHead(fault.status ?? (fault.location === undefined ? 200 : 307), headers).end(fault.text);
}

function trickle(response: ServerResponse, bytes: Buffer, everyMs: number): void {
  let at = 0;
  const timer = setInterval(() => response.write(bytes.subarray(at, ++at)), everyMs);
  response.once('close', () => clearInterval(timer));
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

/** JSON, as @huggingface/hub sends it, or a form, as Python does. */
async function askedPaths(request: IncomingMessage): Promise<{ paths: string[] }> {
  let text = '';
  for await (const piece of request) text += piece;
  if (text.startsWith('{')) return JSON.parse(text) as { paths: string[] };
  return { paths: new URLSearchParams(text).getAll('paths') };
}
