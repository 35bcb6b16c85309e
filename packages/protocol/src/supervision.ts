import type { SecretFingerprint } from './known-secrets.ts'

/**
 * What the engine and the supervisor that started it tell each other, over Node's channel between parent and child. An
 * engine that nobody supervises has no such channel and gets on without.
 */

/**
 * `asleep`: not running, and started by the next call. `held`: ended too often and is not started again by itself.
 * `unbuilt`: its sources do not build, and there is nothing of it to run. `silent`: it runs and answers no heartbeat.
 */
export type SupervisedState = 'starting' | 'up' | 'restarting' | 'held' | 'asleep' | 'stopped' | 'unbuilt' | 'silent'

export type ToSupervisor =
  /**
   * The engine listens. `settings`: of each worker that has some in config.yaml, a digest of what it is given. `notice`: what
   * its owner has to hear of once.
   */
  | { type: 'up'; workerPort: number; http: string | undefined; settings: Record<string, string>; notice?: string }
  /** A process has connected. */
  | { type: 'connected'; pid: number }
  /** A call waits for this worker. */
  | { type: 'needed'; worker: string }
  /** Nothing has been asked of it for long enough, and the engine gives it no call any more: it can be ended. */
  | { type: 'idle'; worker: string }
  /** A process has not answered heartbeats for this time, in milliseconds, and gets no calls any more. */
  | { type: 'silent'; pid: number; silentMs: number }
  /** It answers again. */
  | { type: 'heard'; pid: number }
  /** A process that had connected has no connection any more: it ends, or comes back. */
  | { type: 'gone'; pid: number }
  /** Answers `ping`: the engine's own heartbeat. */
  | { type: 'pong' }
  /** Something of an installed worker does not stand, though its manifest or its code says so. */
  | { type: 'problem'; worker: string; text: string }
  /** Its owner wants it started anew, whatever state it is in. */
  | { type: 'restart'; worker: string }
  /** Its owner wants its processes ended at once, as a crash would end them; the rules for crashes start them again. */
  | { type: 'kill'; worker: string }

export type ToEngine =
  /** The state of every installed worker; sent when the engine is up and after each change. */
  | { type: 'workers'; states: Record<string, SupervisedState> }
  /** Is answered at once, from the first moment of the process until its last. */
  | { type: 'ping' }
  /** What it has to blank and does not get: sent when its process begins. */
  | { type: 'secrets'; fingerprints: SecretFingerprint[] }
