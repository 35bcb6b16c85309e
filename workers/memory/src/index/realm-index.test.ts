import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Caller, InvocationError } from '@agentos/sdk'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { insertMemory, newMemory } from '../entries.ts'
import { FakeEngine } from '../fake-engine.ts'
import type { Space } from '../spaces.ts'
import { ANALYSER, terms } from '../terms.ts'
import { RealmIndex } from './realm-index.ts'

let engine: FakeEngine
let path: string
beforeEach(() => {
  engine = new FakeEngine()
  path = join(engine.folder, 'realm.sqlite')
})
afterEach(() => engine.stop())

const put = (id: string) =>
  engine.use('a', (space: Space) =>
    insertMemory(space, newMemory({ id, agentId: 'a', role: 'user', importance: 0.5, content: `about ${id}` })),
  )
const ids = (index: RealmIndex) => index.memories.all('a').map(({ memory }) => memory.id)

/** The ids that an index of this file knows after it caught up with the truth as this caller sees it. */
async function known(caller: Caller = engine.caller()): Promise<string[]> {
  const index = await RealmIndex.open(path)
  try {
    await index.syncMemories(caller)
    return ids(index)
  } finally {
    index.close()
  }
}

test('it goes on where it was', async () => {
  await put('m1')
  expect(await known()).toEqual(['m1'])
  await put('m2')
  await engine.caller().state.delete('memory:a', 'm1')
  expect(await known()).toEqual(['m2'])
})

test('a page that ends early is not the end', async () => {
  for (const id of ['m1', 'm2', 'm3']) await put(id)
  const { trigger, ...rest } = engine.caller()
  const early: Caller['trigger'] = (request) =>
    trigger(
      request.function_id === 'state::changes'
        ? { ...request, payload: { ...(request.payload as object), limit: 1 } }
        : request,
    )
  expect(await known({ ...rest, trigger: early })).toEqual(['m1', 'm2', 'm3'])
})

test('a truth that was put back to an earlier day makes it anew', async () => {
  for (const id of ['m1', 'm2', 'm3']) await put(id)
  await known()
  await engine.stop()
  engine = new FakeEngine()
  await put('m1')
  expect(await known()).toEqual(['m1'])
})

test('a history that was pruned makes it anew', async () => {
  await put('m1')
  await known()
  await put('m2')
  const { trigger, ...rest } = engine.caller()
  const pruned: Caller['trigger'] = (request) => {
    if ((request.payload as { after: number }).after === 1) {
      throw new InvocationError({ code: 'history_pruned', message: 'Changes are kept from sequence 2 on' })
    }
    return trigger(request)
  }
  expect(await known({ ...rest, trigger: pruned })).toEqual(['m1', 'm2'])
})

test.each([
  ['broken', () => writeFileSync(path, 'this is no database, and long enough to be looked at as one')],
  ['of another schema', () => new DatabaseSync(path).exec('CREATE TABLE old (x); PRAGMA user_version = 999')],
])('a file that is %s is thrown away', async (_, make) => {
  await put('m1')
  make()
  expect(await known()).toEqual(['m1'])
})

test('a file that another analyser wrote is made anew', async () => {
  await put('m1')
  await known()
  const file = new DatabaseSync(path)
  const { user_version: version } = file.prepare('PRAGMA user_version').get() as { user_version: number }
  expect(version % 1_000).toBe(ANALYSER)
  file.exec(`UPDATE memories SET terms = 'of old'; PRAGMA user_version = ${version - 1}`)
  file.close()
  expect(await known()).toEqual(['m1'])
  const [row] = new DatabaseSync(path).prepare('SELECT terms FROM memories').all()
  expect(row!.terms).toBe(terms('about m1').join(' '))
})

test('records that are no memories are passed over', async () => {
  const { state } = engine.caller()
  await state.set('memory:a', 'f'.repeat(64), { id: 'm1', timestamp: 1 })
  await state.set('memory:a', 'odd', { accessCount: 1 })
  await put('m1')
  expect(await known()).toEqual(['m1'])
})

test('the place for vectors is there, tagged with model and dimension', async () => {
  await known()
  const columns = new DatabaseSync(path).prepare("SELECT name FROM pragma_table_info('vectors')").all()
  expect(columns.map(({ name }) => name)).toEqual(['row', 'model', 'dimension', 'vector'])
})
