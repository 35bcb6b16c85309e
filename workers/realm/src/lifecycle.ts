import { audit } from '@agentos/contracts/security'
import { type Caller, isPassing, type StateClient, TriggerAction } from '@agentos/sdk'
import { type News, RealmRecords } from './record.ts'

export const TOPIC = 'realm.lifecycle'
const DEADLINE_MS = 5_000

/** Tells other workers; nobody has to listen, and nothing waits for them. */
export async function announce(type: News['type'] | 'purged', realmId: string, caller: Caller): Promise<void> {
  try {
    const payload = { topic: TOPIC, data: { type, realmId } }
    await caller.trigger({ function_id: 'publish', payload, action: TriggerAction.Void() })
  } catch (error) {
    caller.log.warn({ err: error, type, realmId }, 'A change of a realm could not be announced')
  }
}

/** Enters what concerns a whole realm into the audit chain, once for a key. Throws where it can be entered later. */
export async function record(
  type: string,
  detail: Record<string, unknown>,
  caller: Caller,
  key: { idempotencyKey?: string } = {},
): Promise<void> {
  try {
    await caller.call(audit, { type, detail }, { deadlineMs: DEADLINE_MS, ...key })
  } catch (error) {
    if (isPassing(error)) throw error
    caller.log.warn({ err: error, type, ...detail }, 'An action on a realm could not be audited')
  }
}

/** Tells what is to be told of a realm, and notes that. It never fails: what was not told is told after the next start. */
export async function tellNews(realmId: string, caller: Caller): Promise<void> {
  try {
    const records = new RealmRecords(caller.state)
    const untold = (await records.get(realmId))?.untold ?? []
    const told = new Set<string>()
    for (const news of untold) if (await isTold(news, realmId, caller)) told.add(nameOf(news))
    if (told.size === 0) return
    await records.changeNews(realmId, (left) => left.filter((news) => !told.has(nameOf(news))))
  } catch (error) {
    caller.log.warn({ err: error, realmId }, 'Not all was told of a realm yet')
  }
}

/** Of all realms: what a process before this one did not come to. */
export async function tellAllNews(caller: Caller & { state: StateClient }): Promise<void> {
  for (const { id, untold } of await new RealmRecords(caller.state).all()) if (untold) await tellNews(id, caller)
}

async function isTold(news: News, realmId: string, caller: Caller): Promise<boolean> {
  const { type, audit: entry } = news
  try {
    if (entry) {
      await record(entry.type, entry.detail, caller, { idempotencyKey: `${realmId}/${nameOf(news)}/${entry.type}` })
    }
    await announce(type, realmId, caller)
    return true
  } catch (error) {
    caller.log.warn({ err: error, type, realmId }, 'A change of a realm could not be told yet')
    return false
  }
}

function nameOf({ type, version }: News): string {
  return `${version}/${type}`
}
