/** Stores as textures of WebGL2, one float32 a texel; kernels as fragment shaders made by gpu.js. */
import { DeviceError, LongformerError, MemoryError } from '../../contract/errors.ts';
import type { Argument, Device, Statistics, Store } from './device.ts';
import { create, type GpuJs, type GpuJsInstance, type GpuJsKernel } from './gpu-js.ts';
import { Ledger } from './memory.ts';
import type { Program } from './program.ts';
import { boundsOfRead, noWebGl2, openContext, type WebGl2 } from './webgl2-context.ts';

/** Compiled kernels that are kept. There are some thirty programs; more means that somebody makes them up. */
const mostCompiled = 64;
/** A store of so many numbers is asked for at once whether there was memory; asking waits. Smaller ones wait for `read`. */
const asked = 2 ** 22;
/** Texels of one upload of a large store, so that no copy of it is made as a whole. */
const uploadedAtOnce = 2 ** 20;

interface TextureStore extends Store {
  readonly texture: object;
  readonly width: number;
  readonly height: number;
}

export interface WebGl2Options {
  readonly maximumMemoryBytes: number;
  readonly mostScores: number;
  /** Largest side of a texture, to see how a smaller GPU fares. */
  readonly mostTextureSize: number;
  readonly powerPreference: 'high-performance' | 'low-power' | 'default';
}

export class WebGl2Device implements Device {
  readonly #library: GpuJs;
  readonly #gl: WebGl2;
  readonly #gpu: GpuJsInstance;
  readonly #side: number;
  readonly #ledger: Ledger;
  readonly #mostScores: number;
  readonly #compiled = new Map<string, GpuJsKernel>();
  readonly #frame: object;
  #lost = false;
  #disposed = false;

  /** @throws UnsupportedError when there is no WebGL2 with float textures that can be written */
  constructor(library: GpuJs, options: WebGl2Options) {
    this.#library = library;
    this.#mostScores = options.mostScores;
    this.#gl = openContext(options.powerPreference, () => {
      this.#lost = true;
    });
    const gl = this.#gl;
    this.#side = Math.min(gl.getParameter(gl.MAX_TEXTURE_SIZE) as number, options.mostTextureSize);
    // Nearly square, because a side is rounded up.
    this.#ledger = new Ledger(
      options.maximumMemoryBytes,
      this.#side * (this.#side - 1),
      `MAX_TEXTURE_SIZE ${this.#side}`,
    );
    // gpu.js sets the size of its canvas to the largest output; of this object it may.
    const canvas = { width: 1, height: 1 };
    this.#gpu = new library.GPU({ canvas, context: gl });
    if (this.#gpu.Kernel !== library.WebGL2Kernel) throw noWebGl2('gpu.js chose something else');
    this.#frame = gl.createFramebuffer();
  }

  get statistics(): Statistics {
    const { stores, bytes, uploadedBytes, runs } = this.#ledger;
    return { stores, bytes, uploadedBytes, compiled: this.#compiled.size, runs };
  }

  get availableBytes(): number {
    return this.#ledger.availableBytes;
  }

  get mostScores(): number {
    return Math.min(this.#mostScores, this.#ledger.largest);
  }

  make(where: string, name: string, rows: number, features: number): Store {
    this.expectAlive();
    const numbers = Math.max(1, rows * features);
    this.#ledger.expectRoom(where, name, numbers);
    const wide = features > 0 && features <= this.#side && rows <= this.#side;
    const width = wide ? features : Math.ceil(Math.sqrt(numbers));
    const gl = this.#gl;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
      gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    }
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    const height = Math.ceil(numbers / width);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R32F, width, height);
    const store = this.#own(texture, width, height, rows, features);
    if (numbers < asked) return store;
    try {
      this.#expectAccepted(`${where} ${name}`);
    } catch (error) {
      this.delete(store);
      throw error;
    }
    return store;
  }

  #own(texture: object, width: number, height: number, rows: number, features: number): TextureStore {
    const value = new this.#library.Texture({
      texture,
      size: new Int32Array([width, height]),
      dimensions: new Int32Array([features, rows, 1]),
      output: [features, rows, 1],
      context: this.#gl,
      type: 'ArrayTexture(1)',
      kernel: {},
    });
    const bytes = 4 * width * height;
    this.#ledger.add(bytes);
    return { rows, features, bytes, value, texture, width, height };
  }

  upload(given: Store, first: number, values: Float32Array<ArrayBuffer>): Store {
    this.expectAlive();
    const { texture, width } = given as TextureStore;
    const gl = this.#gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    const block = Math.max(1, Math.floor(uploadedAtOnce / width)) * width;
    for (let done = 0; done < values.length; ) {
      const at = first + done;
      const column = at % width;
      const left = values.length - done;
      // To the end of a line of texels, then whole lines, then what is left.
      const count =
        column > 0 || left < width ? Math.min(left, width - column) : Math.min(left - (left % width), block);
      const lines = count < width ? 1 : count / width;
      const part = values.subarray(done, done + count);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, column, Math.floor(at / width), count / lines, lines, gl.RED, gl.FLOAT, part);
      done += count;
    }
    this.#ledger.uploadedBytes += values.byteLength;
    return given;
  }

  run(program: Program, rows: number, features: number, values: readonly Argument[]): Store {
    this.expectAlive();
    this.#ledger.expectRoom(program.name, `result (${rows}, ${features})`, rows * features);
    // Two sides where that fits, else rows along z: then gpu.js makes a texture that is nearly square.
    const flat = features <= this.#side && rows <= this.#side;
    const output = flat ? [features, rows, 1] : [features, 1, rows];
    const given = values.map(value => (typeof value === 'number' ? value : value.value));
    const { kernel } = this.#draw(program, output, given);
    const { texture } = kernel.texture!;
    const [width, height] = kernel.texSize as unknown as [number, number];
    // The texture changes its owner: the next run of this kernel makes a new one, and its framebuffer lets go of this.
    kernel.texture = null;
    const gl = this.#gl;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, null, 0);
    this.#ledger.runs++;
    return this.#own(texture, width, height, rows, features);
  }

  #draw(program: Program, output: readonly number[], values: readonly unknown[]): GpuJsKernel {
    const compiled = this.#compile(program);
    try {
      compiled.setOutput(output);
      compiled(...values);
      return compiled;
    } catch (cause) {
      this.#compiled.delete(program.name);
      this.expectAlive(); // a lost context compiles nothing either
      if (cause instanceof LongformerError) throw cause;
      const got = cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause);
      const expected = 'to be accepted by gpu.js and WebGL2';
      throw new DeviceError({ where: 'gpujs', name: program.name, expected, got, reason: 'Internal', cause });
    }
  }

  #compile(program: Program): GpuJsKernel {
    const known = this.#compiled.get(program.name);
    if (known) {
      this.#compiled.delete(program.name); // to the end: the first is the one that was not used for longest
      this.#compiled.set(program.name, known);
      return known;
    }
    const compiled = create(this.#gpu, program, 'ArrayTexture(1)');
    this.#compiled.set(program.name, compiled);
    if (this.#compiled.size > mostCompiled) {
      const [name, oldest] = this.#compiled.entries().next().value!;
      this.#compiled.delete(name);
      oldest.kernel.destroy();
    }
    return compiled;
  }

  async read(given: Store, first: number, count: number): Promise<Float32Array> {
    this.expectAlive();
    const store = given as TextureStore;
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, store.texture, 0);
    const tight = gl.getParameter(gl.IMPLEMENTATION_COLOR_READ_FORMAT) === gl.RED;
    const { line, lines, skip } = boundsOfRead(first, count, store.width);
    const stride = tight ? 1 : 4;
    const values = new Float32Array(stride * store.width * lines);
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, values.byteLength, gl.STREAM_READ);
    gl.readPixels(0, line, store.width, lines, tight ? gl.RED : gl.RGBA, gl.FLOAT, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, null, 0);
    try {
      await this.#finished();
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
      gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, values);
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
      this.#expectAccepted('read');
    } finally {
      gl.deleteBuffer(buffer);
    }
    const all = tight ? values : values.filter((_, i) => i % stride === 0);
    return all.slice(skip, skip + count);
  }

  /** Until everything before is done, without keeping the thread. */
  async #finished(): Promise<void> {
    const gl = this.#gl;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    for (let wait = 0; ; wait = Math.min(4, wait + 0.25)) {
      await new Promise(resolve => setTimeout(resolve, wait));
      this.expectAlive();
      const status = gl.clientWaitSync(fence!, 0, 0);
      if (status === gl.TIMEOUT_EXPIRED) continue;
      gl.deleteSync(fence);
      if (status === gl.WAIT_FAILED) throw lost('failed to wait');
      return;
    }
  }

  delete(given: Store): void {
    if (this.#disposed) return;
    const { texture, bytes } = given as TextureStore;
    this.#gl.deleteTexture(texture);
    this.#ledger.remove(bytes);
  }

  expectAlive(): void {
    if (this.#disposed) throw new TypeError('gpujs: these kernels were disposed of');
    if (this.#lost || this.#gl.isContextLost()) throw lost('a lost context');
  }

  /** @throws MemoryError, DeviceError when WebGL has complained */
  #expectAccepted(what: string): void {
    const gl = this.#gl;
    const error = gl.getError();
    if (error === gl.NO_ERROR) return;
    this.expectAlive();
    const complaint = { where: 'gpujs', name: what, expected: 'to be accepted by WebGL2', got: `error ${error}` };
    if (error !== gl.OUT_OF_MEMORY) throw new DeviceError({ ...complaint, reason: 'Validation' });
    const hint = 'run fewer or shorter documents at once.';
    throw new MemoryError({ ...complaint, expected: 'memory of the GPU', got: 'OUT_OF_MEMORY', hint });
  }

  /** Gives the context back too. Stores that were not deleted go with it. */
  dispose(): void {
    if (this.#disposed) return;
    const gl = this.#gl;
    gl.deleteFramebuffer(this.#frame);
    for (const { kernel } of this.#compiled.values()) kernel.destroy(true);
    this.#compiled.clear();
    this.#disposed = true;
    this.#ledger.stores = 0;
    this.#ledger.bytes = 0;
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}

const lost = (got: string): DeviceError =>
  new DeviceError({
    where: 'gpujs',
    name: 'context',
    expected: 'to answer',
    got,
    hint: 'make new kernels; everything in this context is gone.',
    reason: 'Lost',
  });
