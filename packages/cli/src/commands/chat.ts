import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import type { Api } from '../api.ts'
import { ChatReply, type ChatResult } from '../chat-reply.ts'
import { followRun } from '../follow-run.ts'
import { paint, print, printJson } from '../output.ts'
import { Refusal } from '../refusal.ts'
import { connect, type GlobalOptions } from './connect.ts'

interface ChatOptions {
  agent?: string
  session?: string
  model?: string
}

export function addChat(program: Command): void {
  program
    .command('chat')
    .description('talk to an agent; with a message one answer, without one a conversation')
    .argument('[message...]')
    .option('--agent <id>', 'which agent', 'default')
    .option('--session <id>', 'go on with this session')
    .option('--model <model>', 'provider/model or an alias, for this chat')
    .action(async (words: string[], options: ChatOptions, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>()
      const { api } = connect(command)
      const message = words.length > 0 ? words.join(' ') : process.stdin.isTTY ? undefined : await readInput()
      if (message === undefined && json) {
        throw new Refusal('usage', 'A message is missing', '--json answers one message.', [
          'npm run agentos -- chat --json "hello"',
        ])
      }
      if (message === undefined) return converse(api, options)
      if (json) return printJson(await api.post('/v1/chat', request(message, options)))
      await say(api, message, options)
    })
}

const request = (message: string, { agent, session, model }: ChatOptions): Record<string, unknown> => ({
  message,
  ...(agent ? { agentId: agent } : {}),
  ...(session ? { sessionId: session } : {}),
  ...(model ? { model } : {}),
})

/** Prints the answer as it arrives. Ctrl-C ends the answer, which cancels the call. */
async function say(api: Api, message: string, options: ChatOptions): Promise<ChatResult | undefined> {
  const reply = new ChatReply((text) => process.stdout.write(text), paint)
  const abort = new AbortController()
  const interrupt = () => abort.abort()
  process.once('SIGINT', interrupt)
  try {
    const body = { ...request(message, options), stream: true }
    await show(api, body, reply, abort.signal)
  } catch (error) {
    if (!abort.signal.aborted) throw error
    process.exitCode = 130
  } finally {
    process.off('SIGINT', interrupt)
  }
  return reply.finish()
}

/** Shows the stream of an answer, and where the connection breaks in it what its run comes to. */
async function show(api: Api, body: object, reply: ChatReply, signal: AbortSignal): Promise<void> {
  try {
    for await (const event of api.stream('/v1/chat', body, signal)) reply.show(event)
  } catch (error) {
    const isLost = error instanceof Refusal && error.code === 'connection_lost'
    if (!isLost || reply.run === undefined) throw error
    reply.rejoin((await followRun(api, reply.run, signal)) as ChatResult)
  }
}

async function converse(api: Api, options: ChatOptions): Promise<void> {
  print(paint('dim', 'Ctrl-C ends an answer, Ctrl-D the conversation.'))
  let session = options.session
  for (;;) {
    const line = await ask()
    if (line === undefined) return print()
    if (line.trim() === '') continue
    try {
      const result = await say(api, line, { ...options, ...(session ? { session } : {}) })
      session = result?.sessionId ?? session
    } catch (error) {
      if (!(error instanceof Refusal) || error.code === 'unreachable') throw error
      print(paint('red', `${error.title}: ${error.detail}`))
    }
  }
}

/** A line, or `undefined` at Ctrl-D and at Ctrl-C on an empty prompt. */
async function ask(): Promise<string | undefined> {
  const prompt = createInterface({ input: process.stdin, output: process.stdout })
  const closed = new Promise<undefined>((resolve) => prompt.once('close', () => resolve(undefined)))
  try {
    return await Promise.race([prompt.question(paint(['bold', 'cyan'], '› ')), closed])
  } finally {
    prompt.close()
  }
}

async function readInput(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
  if (text.trim() === '') throw new Refusal('usage', 'A message is missing', 'Standard input was empty.')
  return text.trim()
}
