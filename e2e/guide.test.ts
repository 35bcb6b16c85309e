import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Checkout } from './support/checkout.ts'
import { ReadmeShell } from './support/readme-shell.ts'

const GUIDE = readFileSync(join(import.meta.dirname, '../docs/writing-workers.md'), 'utf8')
const WAIT = { timeout: 40_000, interval: 100 }

interface Block {
  language: string
  /** Path of the file that it is, or with `added` a part of. */
  file: string
  added: boolean
  text: string
}

/** The blocks of the guide below each heading, in order. */
const [opening, ...steps] = GUIDE.split(/^## /m).map((part) => ({
  title: part.slice(0, part.indexOf('\n')),
  blocks: [...part.matchAll(/^```(\w+)(?: (\S+))?( \+)?\n([\s\S]*?)^```$/gm)].map(
    ([, language, file = '', added, text]): Block => ({
      language: language!,
      file,
      added: added !== undefined,
      text: text!,
    }),
  ),
}))

// Each step goes on where the one before it ended.
describe('the guide to writing workers', { retry: 0 }, () => {
  let checkout: Checkout
  let shell: ReadmeShell
  let running: Awaited<ReturnType<Checkout['up']>> | undefined
  /** The newest of each kind of id that a command wrote. */
  const seen: Record<string, string> = {}

  beforeAll(async () => {
    checkout = await Checkout.create()
    expect((await checkout.node('scripts/build.ts')).err).toBe('')
    shell = new ReadmeShell(checkout, checkout.env)
    for (const { text } of opening!.blocks) expect(await run(text)).toContain('workers/notes is written')
  })
  afterAll(() => checkout?.destroy())

  async function run(commands: string): Promise<string> {
    const { out } = await shell.run(`${opening!.blocks[0]!.text.split('\n')[0]}\n${commands}`, seen)
    for (const [, id, kind] of out.matchAll(/\b(([a-z]+)-[0-9a-f-]{36})\b/g)) seen[kind!] = id!
    const [, firing] = /\b([0-9a-f]{32})\b.* cron$/m.exec(out) ?? []
    if (firing) seen.trace = firing
    return out
  }

  /** Runs commands; the last one again until it says what the guide says, for what happens by and by. */
  async function runAndSee(commands: string, said: Block): Promise<void> {
    const lines = commands.trimEnd().split('\n')
    const last = lines.pop()!
    const before = await run(lines.join('\n'))
    await expect.poll(async () => before + (await run(last)), WAIT).toEqual(expect.toSatisfy(matcherOf(said)))
  }

  async function play(blocks: Block[]): Promise<void> {
    const commands = blocks.filter(({ language, file }) => file === '' && language !== 'yaml')
    for (const [place, { language, text }] of commands.entries()) {
      if (language !== 'sh') continue
      const next = commands[place + 1]
      if (next && next.language !== 'sh') await runAndSee(text, next)
      else await run(text)
    }
  }

  it.each(steps)('$title', async ({ blocks }) => {
    await running?.stop()
    for (const { file, added, text } of blocks.filter((block) => block.file !== '')) {
      const path = join(checkout.root, file)
      mkdirSync(dirname(path), { recursive: true })
      if (added) appendFileSync(path, text)
      else writeFileSync(path, text)
    }
    expect((await checkout.node('scripts/build.ts', 'notes')).err).toBe('')
    running = await checkout.up()
    await play(blocks)
  })
})

/** Does an output say what the guide shows? In both `…` stands for anything; of text each line has to be there, in order. */
function matcherOf({ language, text }: Block): (out: string) => boolean {
  const escaped = (part: string): string => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  if (language === 'json') {
    const whole = new RegExp(`${escaped(JSON.stringify(JSON.parse(text))).replaceAll('…', '[^"]*')}$`)
    return (out) => whole.test(compact(out))
  }
  const lines = text.trimEnd().split('\n')
  const words = (line: string): string =>
    line
      .split(/ {2,}|<\w+>/)
      .map(escaped)
      .join('.*')
  const all = new RegExp(lines.map(words).join('.*\\n.*'))
  return (out) => all.test(out)
}

/** The JSON value that an output ends with, without layout; what came before it is left as it is. */
function compact(out: string): string {
  const from = out.search(/^\{/m)
  try {
    return JSON.stringify(JSON.parse(out.slice(from)))
  } catch {
    return out
  }
}
