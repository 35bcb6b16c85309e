import { registerWorker, TriggerAction } from '@agentos/sdk'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, expect, it } from 'vitest'

let system: System

beforeAll(async () => {
  system = await startSystem({ workers: ['memory'] })
})

afterAll(() => system?.stop())

/** The two examples of the iii style, as somebody who knows that SDK writes them. */
it('calls a function of another worker by its id', async () => {
  const iii = registerWorker(system.wsUrl, { workerName: 'caller' })

  await iii.trigger({
    function_id: 'memory::store',
    payload: { agentId: 'default', content: 'The quarterly report is due on Friday' },
  })
  const memories = await iii.trigger<{ content: string }[]>({
    function_id: 'memory::recall',
    payload: { agentId: 'default', query: 'When is the report due?', limit: 5 },
  })

  expect(memories[0]?.content).toBe('The quarterly report is due on Friday')
  await iii.shutdown()
})

it('registers a function that other workers call, and binds it to a route', async () => {
  const iii = registerWorker(system.wsUrl, { workerName: 'analyst' })
  const heard: string[] = []

  iii.registerFunction(
    'analyst::summarize',
    async ({ text }: { text: string }) => {
      heard.push(text)
      return { summary: text.split('. ')[0], words: text.split(/\s+/).length }
    },
    { description: 'First sentence and length of a text' },
  )
  iii.registerFunction('analyst::summarize_http', async ({ body }: { body: { text: string } }) => ({
    status_code: 200,
    body: await iii.trigger({ function_id: 'analyst::summarize', payload: body }),
  }))
  iii.registerTrigger({
    type: 'http',
    function_id: 'analyst::summarize_http',
    config: { api_path: 'analyst/summarize', http_method: 'POST' },
  })
  await iii.ready()

  const text = 'Sales rose. Costs fell too'
  const expected = { summary: 'Sales rose', words: 5 }
  const caller = system.client()
  expect(await caller.trigger({ function_id: 'analyst::summarize', payload: { text } })).toEqual(expected)
  expect((await system.api('POST', '/analyst/summarize', { text })).body).toEqual(expected)
  await caller.trigger({ function_id: 'analyst::summarize', payload: { text: 'void' }, action: TriggerAction.Void() })
  await expect.poll(() => heard).toEqual([text, text, 'void'])
  await iii.shutdown()
})
