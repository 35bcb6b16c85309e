import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { createProgram } from '../src/program.ts'

const ROOT = join(import.meta.dirname, '../../..')

/** Where a person reads of commands: what programs say, and what documents say. Commands as such are described elsewhere. */
const PLACES = [
  '*.md',
  'config.yaml',
  'docs/*.md',
  'bench/**/*.md',
  '{packages,workers,scripts,tools}/**/*.{ts,tsx,mjs,md,yaml}',
]
const APART = /node_modules|\/dist\/|\.test\.tsx?$|\/test\/|packages\/testing\//

interface Place {
  file: string
  line: number
  text: string
}

function linesOf(file: string): Place[] {
  const isCode = /\.(ts|tsx|mjs)$/.test(file)
  return readFileSync(join(ROOT, file), 'utf8')
    .split('\n')
    .map((text, index) => ({ file, line: index + 1, text }))
    .filter(({ text }) => !isCode || !/^\s*(\/\/|\/?\*)/.test(text))
}

const lines = globSync(PLACES, { cwd: ROOT, exclude: (name) => name === 'node_modules' || name === 'dist' })
  .filter((file) => !APART.test(file))
  .flatMap(linesOf)

/** The README's tour and the guide to workers, which begin with a shell function of this name. */
function isTour({ file, line }: Place): boolean {
  if (file === 'docs/writing-workers.md') return true
  if (file !== 'README.md') return false
  const before = readFileSync(join(ROOT, file), 'utf8').split('\n').slice(0, line)
  return before.findLast((text) => text.startsWith('## ')) === '## The first ten minutes'
}

/** What stands behind each mention of our command, up to where the sentence goes on. */
const AFTER_CLONE = /npm run (?:-s )?agentos(?: --)? ([^`'";,)\\\n]+)/g
const ON_THE_PATH = /(?<!npm run (?:-s )?|(?<!\\)[\w:/.@$-])agentos ((?!--)[a-z-][^`'";,)\\\n]*)/g

const mentions = (pattern: RegExp, from: Place[]) =>
  from.flatMap((place) =>
    [...place.text.matchAll(pattern)].map((match) => ({ place, words: (match[1] as string).split('</')[0] as string })),
  )

/** Why this is no command of ours; nothing where it is one. */
function problemIn(words: string): string | undefined {
  let command: Command = createProgram()
  for (const word of words.split(/\s+/)) {
    if (!/^[a-z][a-z|-]*[.:]?$/.test(word)) break
    const names = word.replace(/[.:]$/, '').split('|')
    const found = names.map((name) => command.commands.find((each) => each.name() === name))
    if (found.some((each) => each === undefined)) {
      // Behind a command come its arguments, and the rest of the sentence.
      if (command.parent) break
      return `there is no command ${word}`
    }
    command = found[0] as Command
  }
  if (!command.parent && /^[a-z]/.test(words)) return `there is no command ${words}`
  const known = [command, createProgram()].flatMap((each) => each.options.map(({ long }) => long))
  const unknown = words.match(/(?<=\s|^)--[a-z][\w-]*/g)?.find((option) => !known.includes(option))
  return unknown === undefined ? undefined : `${command.name()} has no option ${unknown}`
}

const told = ({ file, line }: Place, what: string): string => `${file}:${line}: ${what}`

describe('what a person is advised to run', () => {
  it('is a command that exists, with options that it has', () => {
    const advised = [...mentions(AFTER_CLONE, lines), ...mentions(ON_THE_PATH, lines.filter(isTour))]
    const problems = advised.flatMap(({ place, words }) => {
      const problem = problemIn(words)
      return problem === undefined ? [] : [told(place, problem)]
    })
    expect(problems).toEqual([])
    // The pattern finds them: there are far more than these.
    expect(advised.length).toBeGreaterThan(60)
    expect(advised.map(({ words }) => words)).toEqual(
      expect.arrayContaining([expect.stringMatching(/^doctor --repair/), expect.stringMatching(/^stop\b/)]),
    )
  })

  it('works after a clone, where nothing of ours is on the PATH', () => {
    const bare = mentions(
      ON_THE_PATH,
      lines.filter((place) => !isTour(place)),
    )
    expect(bare.map(({ place, words }) => told(place, `agentos ${words}`))).toEqual([])
  })

  it('is a script of package.json where it is one of npm', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }
    const unknown = mentions(/npm run (?:-s )?([a-z0-9:-]+)/g, lines).filter(({ words }) => !(words in scripts))
    expect(unknown.map(({ place, words }) => told(place, words))).toEqual([])
  })

  it.each([
    ['staus', 'there is no command staus'],
    ['traces', undefined],
    ['token rotate', undefined],
    ['approvals approve|deny <id>', undefined],
    ['restore <file> --force', 'restore has no option --force'],
    ['doctor --repair --json says what', undefined],
    ['memory::search query=dog', 'there is no command memory::search query=dog'],
  ])('tells %s apart', (words, problem) => expect(problemIn(words)).toBe(problem))
})
