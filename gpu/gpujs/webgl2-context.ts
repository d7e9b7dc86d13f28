/** A WebGL2 context without a page: what is used of it, and how it is opened. The types of this project know no DOM. */
import { UnsupportedError } from '../../contract/errors.ts';

type Constant =
  | 'CLAMP_TO_EDGE'
  | 'COLOR_ATTACHMENT0'
  | 'FLOAT'
  | 'FRAMEBUFFER'
  | 'IMPLEMENTATION_COLOR_READ_FORMAT'
  | 'MAX_TEXTURE_SIZE'
  | 'NEAREST'
  | 'NO_ERROR'
  | 'OUT_OF_MEMORY'
  | 'PIXEL_PACK_BUFFER'
  | 'R32F'
  | 'RED'
  | 'RGBA'
  | 'STREAM_READ'
  | 'SYNC_GPU_COMMANDS_COMPLETE'
  | 'TEXTURE0'
  | 'TEXTURE_2D'
  | 'TEXTURE_MAG_FILTER'
  | 'TEXTURE_MIN_FILTER'
  | 'TEXTURE_WRAP_S'
  | 'TEXTURE_WRAP_T'
  | 'TIMEOUT_EXPIRED'
  | 'UNPACK_ALIGNMENT'
  | 'UNPACK_FLIP_Y_WEBGL'
  | 'WAIT_FAILED';

/** Objects of WebGL: textures, buffers, framebuffers, fences. */
type Thing = object;

export interface WebGl2 extends Readonly<Record<Constant, number>> {
  activeTexture(unit: number): void;
  bindBuffer(target: number, buffer: Thing | null): void;
  bindFramebuffer(target: number, frame: Thing | null): void;
  bindTexture(target: number, texture: Thing | null): void;
  bufferData(target: number, bytes: number, usage: number): void;
  clientWaitSync(fence: Thing, flags: number, timeout: number): number;
  createBuffer(): Thing;
  createFramebuffer(): Thing;
  createTexture(): Thing;
  deleteBuffer(buffer: Thing): void;
  deleteFramebuffer(frame: Thing): void;
  deleteSync(fence: Thing | null): void;
  deleteTexture(texture: Thing): void;
  fenceSync(condition: number, flags: number): Thing | null;
  flush(): void;
  framebufferTexture2D(target: number, attachment: number, kind: number, texture: Thing | null, level: number): void;
  getBufferSubData(target: number, offset: number, into: Float32Array): void;
  getError(): number;
  getExtension(name: string): { loseContext(): void } | null;
  getParameter(name: number): unknown;
  isContextLost(): boolean;
  pixelStorei(name: number, value: number | boolean): void;
  readPixels(x: number, y: number, width: number, height: number, format: number, type: number, offset: number): void;
  texParameteri(target: number, name: number, value: number): void;
  texStorage2D(target: number, levels: number, format: number, width: number, height: number): void;
  texSubImage2D(
    target: number,
    level: number,
    x: number,
    y: number,
    width: number,
    height: number,
    format: number,
    type: number,
    values: Float32Array,
  ): void;
}

interface Canvas {
  getContext(kind: 'webgl2', settings: object): WebGl2 | null;
  addEventListener(event: 'webglcontextlost', listener: () => void): void;
}

interface Page {
  readonly OffscreenCanvas?: new (width: number, height: number) => Canvas;
  readonly document?: { createElement(name: 'canvas'): Canvas };
}

export const noWebGl2 = (got: string): UnsupportedError =>
  new UnsupportedError({
    where: 'gpujs',
    name: 'webgl2',
    expected: 'a browser with WebGL2 and float32 textures that can be written',
    got,
    hint: 'gpu.js can also compute on processors; that is no GPU, and is refused. The backend wasm runs everywhere.',
  });

/** A context of its own, 1 x 1 pixels. lost: called when the browser takes it away. @throws UnsupportedError */
export function openContext(powerPreference: string, lost: () => void): WebGl2 {
  const { OffscreenCanvas, document } = globalThis as Page;
  // Some browsers have canvases without a page, but no WebGL2 for them; workers have no others.
  const canvases = [OffscreenCanvas && new OffscreenCanvas(1, 1), document?.createElement('canvas')].filter(
    canvas => canvas !== undefined,
  );
  if (canvases.length === 0) throw noWebGl2('no canvas: this is not a browser');
  const settings = { alpha: false, depth: false, antialias: false, powerPreference };
  for (const canvas of canvases) {
    const gl = canvas.getContext('webgl2', settings);
    if (!gl) continue;
    if (!gl.getExtension('EXT_color_buffer_float')) throw noWebGl2('no EXT_color_buffer_float');
    canvas.addEventListener('webglcontextlost', lost);
    return gl;
  }
  throw noWebGl2('no context');
}

/** Lines of texels that hold numbers first .. + count of a texture, and how many numbers of the first line come before. */
export function boundsOfRead(first: number, count: number, width: number) {
  const line = Math.floor(first / width);
  return { line, lines: Math.ceil((first + count) / width) - line, skip: first - line * width };
}
