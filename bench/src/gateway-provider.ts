import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { serveParent } from './peer.ts'

/** A provider in OpenAI's wire format that thinks for a millisecond, then says the same short answer, whole or in pieces. */
const THINKING_MS = 1
const PIECES = ['The ', 'answer ', 'to ', 'your ', 'question ', 'is ', '391', '.']
const identity = { id: 'chatcmpl-bench', created: 1_790_000_000, model: 'fast' }
const usage = { prompt_tokens: 20, completion_tokens: PIECES.length, total_tokens: 20 + PIECES.length }

const whole = JSON.stringify({
  ...identity,
  object: 'chat.completion',
  choices: [
    { index: 0, message: { role: 'assistant', content: PIECES.join('') }, logprobs: null, finish_reason: 'stop' },
  ],
  usage,
})

const chunk = (more: object) => event({ ...identity, object: 'chat.completion.chunk', ...more })
const choice = (delta: object, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta, logprobs: null, finish_reason }],
})
const events = [
  chunk(choice({ role: 'assistant', content: '' })),
  ...PIECES.map((content) => chunk(choice({ content }))),
  chunk(choice({}, 'stop')),
  chunk({ choices: [], usage }),
  'data: [DONE]\n\n',
]

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (part: Buffer) => chunks.push(part))
  request.on('end', async () => {
    const { stream } = JSON.parse(Buffer.concat(chunks).toString()) as { stream?: boolean }
    await delay(THINKING_MS)
    if (stream) answerInPieces(response)
    else {
      const length = Buffer.byteLength(whole)
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': length }).end(whole)
    }
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => serveParent(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`))

function answerInPieces(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const text of events) response.write(text)
  response.end()
}

function event(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`
}
