import { hash } from 'node:crypto'
import type { spend } from '@agentos/contracts/ledger'
import { type KeyedCall, placeOf } from '@agentos/keyed'
import { canonicalJson, type ParsedInputOf } from '@agentos/sdk'
import type { Spend } from './ledger.ts'

/** Under what a cost is booked once. The key of the input or of the call is its caller's alone, as every other is. */
export function spendKey(input: ParsedInputOf<typeof spend>, call: KeyedCall): Pick<Spend, 'key'> {
  const { functionId, principal, realm } = call
  const name = placeOf({ functionId, principal, realm, idempotencyKey: input.idempotencyKey ?? call.idempotencyKey })
  return name === undefined ? {} : { key: { name, hash: hash('sha256', canonicalJson(input)) } }
}
