/** A client of the protocol that is not ours, as its authors publish it. */
export interface ForeignClient {
  name: string
  /** Brings the package into the cache, once. Throws `MissingToolchain` where this machine cannot. */
  prepare(): Promise<{ command: string; args: string[]; env?: Record<string, string> }>
}

/** What is needed to run a client is not on this machine; that says nothing about the engine. */
export class MissingToolchain extends Error {}
