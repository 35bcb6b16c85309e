import type { Connection, Grant } from './connection.ts'

/**
 * Names of what connections register (functions, triggers, trigger types). What an installed worker registers is the
 * installation's and kept under its id; the rest under its realm and its id, so that two realms may have the same id.
 */
export function placeIn(realm: string, id: string): string {
  // No realm has a space in it, so that nothing of one realm reads as another's.
  return `${realm} ${id}`
}

export function placeFor({ worker, realm }: Pick<Grant, 'worker' | 'realm'>, id: string): string {
  return worker === undefined ? placeIn(realm, id) : id
}

/** Is what this connection registered reached from this realm? */
export function isReachedFrom(realm: string, { grant }: Connection): boolean {
  return grant.worker !== undefined || grant.realm === realm
}
