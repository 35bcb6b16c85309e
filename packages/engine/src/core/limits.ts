/** Bounds of the engine; past each the caller gets a typed error, not a growing heap. All are settings of config.yaml. */
export interface Limits {
  /** Calls that one connection serves at once. */
  inFlightPerWorker: number
  /** Calls of one realm that are in the table at once. */
  inFlightPerRealm: number
  /** Calls that wait for a free or starting worker, over all functions. */
  queuedCalls: number
  /** Functions, triggers and trigger types that one connection may register. */
  registrationsPerConnection: number
  /** Bytes of all registrations of one connection, their schemas included. */
  registrationBytes: number
  /** Bytes of one frame. */
  frameBytes: number
  /** Bytes that may wait for one connection to read them; past them it ends. Room for a burst of large results. */
  bufferedBytes: number
  /** How often a peer is pinged, in milliseconds; one that is silent for a whole beat is taken out of rotation. */
  heartbeatMs: number
  /** How long a call waits for an installed worker that is not there, in milliseconds. */
  workerWaitMs: number
}

export const DEFAULT_LIMITS: Limits = {
  inFlightPerWorker: 1_000,
  inFlightPerRealm: 5_000,
  queuedCalls: 10_000,
  registrationsPerConnection: 5_000,
  registrationBytes: 16 * 1024 * 1024,
  frameBytes: 16 * 1024 * 1024,
  bufferedBytes: 32 * 1024 * 1024,
  heartbeatMs: 5_000,
  workerWaitMs: 10_000,
}
