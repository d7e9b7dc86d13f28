/** The arena of one instance, the handles to its regions, and the scratch its kernels compute in. */
import type { DeviceHandle } from '../contract/kernels.ts';
import type { Arena } from './arena.ts';
import type { Handle } from './handles.ts';
import type { KernelExports } from './instantiate.ts';
import type { Team } from './team.ts';

export type HandleKind<Kind extends Handle> = new (owner: Store, address: number, bytes: number) => Kind;

/** What the scratch must be large enough for: T tokens, G global ones, C features. */
export interface ScratchNeed {
  readonly tokens: number;
  readonly globals: number;
  readonly features: number;
}

export class Store {
  readonly arena: Arena;
  readonly #exports: KernelExports;
  readonly #team: Team;
  /** What the scratch is sized for, and where it is. It grows with what is loaded and never shrinks. */
  #scratch = { address: 0, bytes: 0, tokens: 0, globals: 0, features: 0 };

  /** @throws MemoryError */
  constructor(arena: Arena, exports: KernelExports, team: Team) {
    this.arena = arena;
    this.#exports = exports;
    this.#team = team;
    this.#enlargeScratch({ tokens: 1, globals: 0, features: 8 });
  }

  /** A new handle, and scratch for what it brings. When either is refused, nothing has changed. @throws MemoryError */
  make<Kind extends Handle>(
    kind: HandleKind<Kind>,
    bytes: number,
    where: string,
    { tokens = 0, globals = 0, features = 0 }: Partial<ScratchNeed> = {},
  ): Kind {
    const address = this.arena.allocate(bytes, where);
    try {
      this.#enlargeScratch({ tokens, globals, features });
    } catch (error) {
      this.arena.free(address, bytes);
      throw error;
    }
    return new kind(this, address, bytes);
  }

  /** @throws TypeError when the handle is of another kind or backend, or was given back already. */
  use<Kind extends Handle>(given: DeviceHandle, kind: HandleKind<Kind>): Kind {
    const handle: unknown = given;
    if (!(handle instanceof kind) || handle.owner !== this) {
      throw new TypeError(`wasm: expected a handle of kind ${kind.name} made by these kernels`);
    }
    if (handle.address < 0) throw new TypeError(`wasm: this ${kind.name} was freed before`);
    return handle;
  }

  free(handle: Handle): void {
    this.arena.free(handle.address, handle.bytes);
    handle.address = -1;
  }

  /** Makes the scratch large enough for this too, besides all it had to be large enough for so far. */
  #enlargeScratch({ tokens, globals, features }: ScratchNeed): void {
    const old = this.#scratch;
    if (tokens <= old.tokens && globals <= old.globals && features <= old.features) return;
    const need = {
      tokens: Math.max(tokens, old.tokens),
      globals: Math.max(globals, old.globals),
      features: Math.max(features, old.features),
    };
    const stride = Math.ceil(this.#exports.scratchBytes(need.tokens, need.globals, need.features) / 64) * 64;
    const bytes = stride * this.#team.threads;
    const address = this.arena.allocate(bytes, 'scratch');
    if (old.bytes > 0) this.arena.free(old.address, old.bytes);
    this.#scratch = { address, bytes, ...need };
    this.#team.setScratch({ address, stride, ...need });
  }
}
