import type { Command } from 'commander'
import { jsonText, print, printJson } from '../output.ts'
import { Refusal } from '../refusal.ts'
import { connect, type GlobalOptions } from './connect.ts'

/**
 * The input of a call from the words on the command line: a JSON value first, then `key=value`. A value is JSON where
 * it reads as JSON, else text; `a.b=1` sets a field of `a`; `key:=text` is text whatever it looks like.
 */
export function parseInput(words: string[]): unknown {
  let input: unknown
  const fields: Record<string, unknown> = {}
  let hasFields = false
  for (const [position, word] of words.entries()) {
    const [, key, isText, value] = /^([A-Za-z_][\w.-]*)(:?)=(.*)$/s.exec(word) ?? []
    if (key !== undefined && value !== undefined) {
      set(fields, key.split('.'), isText ? value : jsonOrText(value))
      hasFields = true
    } else if (position === 0) {
      input = json(word)
    } else {
      throw new Refusal('usage', 'That is no input', `“${word}” is neither key=value nor, as the first word, JSON.`, [
        'For example: npm run agentos -- call memory::search agentId=default query=dog limit=5',
      ])
    }
  }
  if (!hasFields) return input ?? {}
  if (input === undefined) return fields
  if (typeof input === 'object' && input !== null && !Array.isArray(input)) return { ...input, ...fields }
  throw new Refusal('usage', 'That is no input', 'key=value can only be added to a JSON object.')
}

function json(word: string): unknown {
  try {
    return JSON.parse(word)
  } catch (error) {
    throw new Refusal('usage', 'The input is not JSON', (error as Error).message, [
      `Put it in single quotes: '{"key": "value"}', or write key=value.`,
    ])
  }
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function set(target: Record<string, unknown>, path: string[], value: unknown): void {
  const [name = '', ...rest] = path
  if (['__proto__', 'constructor', 'prototype'].includes(name)) return
  if (rest.length === 0) {
    target[name] = value
    return
  }
  const inner = target[name]
  const next = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {}
  target[name] = next
  set(next, rest, value)
}

export function addCall(program: Command): void {
  program
    .command('call')
    .description('call a function with the owner’s authority and print its result as JSON')
    .argument('<function>', 'for example memory::search')
    .argument('[input...]', 'JSON, or key=value; - reads JSON from standard input')
    .action(async (id: string, words: string[], _options: object, command: Command) => {
      const { api } = connect(command)
      const input = words[0] === '-' ? parseInput([await readAll(process.stdin), ...words.slice(1)]) : parseInput(words)
      const result = (await api.call(id, input)) ?? null
      if (command.optsWithGlobals<GlobalOptions>().json) printJson(result)
      else print(jsonText(result))
    })
}

async function readAll(stream: NodeJS.ReadStream): Promise<string> {
  let text = ''
  for await (const chunk of stream.setEncoding('utf8')) text += chunk
  return text
}
