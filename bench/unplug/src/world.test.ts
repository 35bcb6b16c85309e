import { afterEach, beforeEach, expect, it } from 'vitest'
import { answerOf, promptOf, receiptOf, STEPS, TOOLS, toolOf } from './task.ts'
import { World } from './world.ts'

let world: World

beforeEach(async () => {
  world = await World.open()
})
afterEach(() => world.close())

interface Reply {
  error?: { message: string }
  choices?: { message: { content: string | null; tool_calls?: { id: string; function: { name: string } }[] } }[]
}

const tools = TOOLS.map(({ name }) => ({ type: 'function', function: { name: `prefix__${name}` } }))

async function ask(messages: object[]): Promise<Reply> {
  const response = await fetch(`${world.url}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({
      model: 'gpt-sim',
      tools,
      messages: [{ role: 'user', content: promptOf('one') }, ...messages],
    }),
  })
  return (await response.json()) as Reply
}

async function use(tool: string, step: number, key?: string): Promise<void> {
  const headers = key === undefined ? {} : { 'idempotency-key': key }
  await fetch(`${world.url}/tools/${tool}`, { method: 'POST', headers, body: JSON.stringify({ task: 'one', step }) })
}

/** A conversation in which so many steps were done. */
function done(steps: number): object[] {
  return Array.from({ length: steps }, (_, index) => index + 1).flatMap((step) => [
    { role: 'assistant', tool_calls: [{ id: `call-${step}` }] },
    { role: 'tool', tool_call_id: `call-${step}`, content: `{"receipt":"${receiptOf(toolOf(step), step)}"}` },
  ])
}

it('asks for the tool of the next step, by the name that was offered, with a new id each time', async () => {
  const [first, again] = [await ask(done(1)), await ask(done(1))].map(
    (reply) => reply.choices![0]!.message.tool_calls![0]!,
  )
  expect(first!.function.name).toBe('prefix__charge')
  expect(again!.id).not.toBe(first!.id)
  expect(world.seen('one').modelRequests).toBe(2)
})

it('says that all is done after nine steps, and which one has no receipt', async () => {
  expect((await ask(done(STEPS - 1))).choices![0]!.message.content).toBe(answerOf('one'))
  const broken = done(2).map((message) => ('content' in message ? { ...message, content: 'sorry' } : message))
  expect((await ask(broken)).choices![0]!.message.content).toMatch(/Step 1 has no receipt/)
})

it('refuses a conversation with a call that nothing answers', async () => {
  expect((await ask(done(1).slice(0, 1))).error?.message).toMatch(/must be followed by tool messages/)
})

it('a charge under a known key takes no effect; a message has no key that counts', async () => {
  for (const key of ['a', 'a', 'b', undefined]) await use('charge', 2, key)
  for (const key of ['a', 'a']) await use('notify', 3, key)
  await use('look_up', 1)
  expect(world.seen('one').effects.map(({ tool }) => tool)).toEqual(['charge', 'charge', 'charge', 'notify', 'notify'])
  expect(world.seen('one').toolRequests).toBe(7)
})
