import { expect, it } from 'vitest'
import { anthropic } from './anthropic.ts'
import { readEvents, translationFor } from './read-stream.fixture.ts'

const start = { type: 'message_start', message: { usage: { input_tokens: 4, output_tokens: 1 } } }
const open = (index: number, block: object) => ({ type: 'content_block_start', index, content_block: block })
const json = (index: number, text: string) => ({
  type: 'content_block_delta',
  index,
  delta: { type: 'input_json_delta', partial_json: text },
})
const stopped = [
  { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 9 } },
  { type: 'message_stop' },
]
const call = (id: string, name: string) => ({ type: 'tool_use', id, name, input: {} })

it('keeps calls apart whose pieces come mixed, and one whose block is never closed', () => {
  const answer = readEvents(anthropic, translationFor('a::b', 'c::d'), [
    start,
    open(0, call('1', 'a__b')),
    open(1, call('2', 'c__d')),
    json(1, '{"n":'),
    json(0, '{"n":1'),
    json(1, '2}'),
    json(0, '}'),
    { type: 'content_block_stop', index: 0 },
    ...stopped,
  ])
  expect(answer?.parts).toMatchObject([
    { id: 'a::b', arguments: { n: 1 } },
    { id: 'c::d', arguments: { n: 2 } },
  ])
  expect(answer?.frames).toEqual(answer?.parts)
})
