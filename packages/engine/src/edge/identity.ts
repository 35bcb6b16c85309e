import type { Principal } from '@agentos/protocol'
import type { Grant } from '../core/connection.ts'
import { DEFAULT_REALM, realmNamed } from '../core/context.ts'
import type { SharedQuota } from './quota.ts'
import { type Sessions, sessionTokens } from './session.ts'
import { bearer, GUEST } from './tokens.ts'

/** Who makes a request, and in which realm. */
export interface Identity {
  principal: Principal
  realm: string
  /** Installed worker whose credential was given. */
  worker?: string
}

export type Identified =
  | { ok: true; identity: Identity }
  | {
      ok: false
      code: 'unauthorized' | 'forbidden' | 'rate_limited' | 'invalid_input'
      message: string
      retryAfterMs?: number
      /** The cookie is worth nothing any more. */
      staleCookie?: true
    }

/**
 * Who judges the tokens of a route: `ours` only we; `shared`: somebody who may have tokens of their own, so that one which
 * is not ours is theirs to judge, and the caller is a guest to us; `theirs`: who needs none of ours, so that callers are
 * guests even where guests are switched off.
 */
export type Door = 'ours' | 'shared' | 'theirs'

/** Headers that say who is calling. */
export interface Credentials {
  authorization?: string | undefined
  cookie?: string | undefined
  realm?: string | undefined
  /** Whose requests count together: an address, or on this machine a connection. */
  source: string
}

export interface IdentityOptions {
  tokens: { grantOf(token: string): Grant | undefined }
  sessions: Sessions
  guests: boolean
  /** Shared by all guests. */
  quota: SharedQuota
}

const REALM_NAME = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/
/** Said explicitly by clients that cannot leave the header out, such as those that insist on an API key. */
const GUEST_TOKEN = 'guest'

/** What whoever brings no token hears where config.yaml lets no guests in. */
export const GUESTS_ARE_OFF =
  'Guests are switched off here (`guests: false` under `agentos:` in config.yaml): send `Authorization: Bearer <token>` with the content of data/owner-token'

/** Turns tokens and cookies into principals. A wrong token is refused; it never silently counts as a guest's. */
export class Identities {
  private readonly options: IdentityOptions

  constructor(options: IdentityOptions) {
    this.options = options
  }

  identify(credentials: Credentials, door: Door): Identified {
    const grant = this.grantOf(credentials, door)
    if (!grant.ok) return grant
    if (grant.identity.principal.kind === 'guest') {
      const taken = this.options.quota.take(credentials.source)
      if (!taken.ok) {
        const message =
          'The guests of this system have used up their requests of this minute, or this one its part of them (agentos.guest_requests_per_minute in config.yaml); the owner token has no such limit'
        return { ok: false, code: 'rate_limited', message, retryAfterMs: taken.retryAfterMs }
      }
    }
    return enterRealm(grant.identity, credentials.realm)
  }

  /** The realm of such a request, which is not counted; nothing for one that is refused. */
  realmOf(credentials: Credentials, door: Door): string | undefined {
    const grant = this.grantOf(credentials, door)
    const entered = grant.ok ? enterRealm(grant.identity, credentials.realm) : grant
    return entered.ok ? entered.identity.realm : undefined
  }

  private grantOf(credentials: Credentials, door: Door): Identified {
    const { authorization, cookie } = credentials
    if (authorization !== undefined) {
      const token = bearer(authorization)
      const grant = token === undefined ? undefined : this.options.tokens.grantOf(token)
      if (grant) return { ok: true, identity: grant }
      if (token !== GUEST_TOKEN && door === 'ours') {
        return {
          ok: false,
          code: 'unauthorized',
          message:
            'This token is not known here. Send `Authorization: Bearer <token>` with the content of data/owner-token, or leave the header out to be a guest',
        }
      }
      return this.guest(door)
    }
    const tokens = sessionTokens(cookie)
    if (tokens.length === 0) return this.guest(door)
    if (tokens.some((token) => this.options.sessions.isValid(token))) {
      return { ok: true, identity: { principal: { kind: 'owner', id: 'owner' }, realm: DEFAULT_REALM } }
    }
    return {
      ok: false,
      code: 'unauthorized',
      message: 'This session has ended; npm run agentos -- open prints a new one-time code',
      staleCookie: true,
    }
  }

  private guest(door: Door): Identified {
    if (this.options.guests || door === 'theirs')
      return { ok: true, identity: { principal: GUEST.principal, realm: GUEST.realm } }
    return {
      ok: false,
      code: 'unauthorized',
      message: GUESTS_ARE_OFF,
    }
  }
}

export type Entered<G> = { ok: true; identity: G } | { ok: false; code: 'forbidden' | 'invalid_input'; message: string }

/** The grant within the realm that a client named in `X-AgentOS-Realm`, which only the owner may. */
export function enterRealm<G extends Pick<Grant, 'principal' | 'realm'>>(
  grant: G,
  named: string | undefined,
): Entered<G> {
  if (named === undefined) return { ok: true, identity: grant }
  if (grant.principal.kind !== 'owner') {
    return { ok: false, code: 'forbidden', message: 'Only the owner names a realm with X-AgentOS-Realm' }
  }
  if (named.trim() === '') {
    const message = 'X-AgentOS-Realm is empty: give the id of a realm, or leave the header out for your own'
    return { ok: false, code: 'invalid_input', message }
  }
  const realm = realmNamed(named)
  if (!REALM_NAME.test(realm)) {
    return { ok: false, code: 'invalid_input', message: 'X-AgentOS-Realm is not the id of a realm' }
  }
  return { ok: true, identity: { ...grant, realm } }
}
