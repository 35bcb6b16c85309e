import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Patch } from '../planted/plant.ts'

/**
 * Where a step of a run can be cut off. `before send`: it is decided that the call is made. `after send`: its executor
 * has it. `after answer`: its result has come and is not written down. `after journal`: it is on disk, and nobody was told.
 */
export const POINTS = ['before send', 'after send', 'after answer', 'after journal'] as const
export type Point = (typeof POINTS)[number]

const strike = (point: Point, step: string): string => `globalThis.agentosStrike?.('${point}', ${step})`

/** Puts the points into the engine. Each asks the program `strike.mjs`, which is loaded beside it, whether it is the one. */
export const KILL_POINTS: readonly Patch[] = [
  {
    name: 'kill points of steps',
    file: 'packages/engine/src/modules/journal/run-steps.ts',
    edits: [
      {
        find: 'const { key, repeatable, repeated, before } = step\n',
        replace: `const { key, repeatable, repeated, before } = step\n    ${strike('before send', 'key')}\n`,
      },
      {
        find: "step.state = 'recording'\n",
        replace: `${strike('after answer', 'key')}\n    step.state = 'recording'\n`,
      },
      {
        find: 'run.hasProgressed()\n      step.answer(',
        replace: `run.hasProgressed()\n      ${strike('after journal', 'key')}\n      step.answer(`,
      },
    ],
  },
  {
    name: 'kill point of a call that was sent',
    file: 'packages/engine/src/modules/journal/sender.ts',
    edits: [
      {
        find: 'const onSent = (): void => {\n',
        // Its frame leaves when this turn of the event loop is over.
        replace: `const onSent = (): void => {\n      setImmediate(() => ${strike('after send', 'request.step')})\n`,
      },
    ],
  },
]

export interface Aim {
  step: string
  point: Point
  /** Whom to kill. */
  pid: number
}

/** Aims the kill points of an engine at one place at a time. */
export class Trigger {
  /** For the engine's environment. */
  readonly env: Record<string, string>
  private readonly file: string

  constructor(folder: string) {
    this.file = join(folder, 'aim')
    const program = pathToFileURL(join(import.meta.dirname, '../programs/strike.mjs')).href
    this.env = { AGENTOS_TEST_STRIKE: this.file, NODE_OPTIONS: `--import ${program}` }
  }

  aim(aim: Aim): void {
    writeFileSync(`${this.file}.new`, JSON.stringify(aim))
    renameSync(`${this.file}.new`, this.file)
  }

  /** It has not struck yet. */
  get armed(): boolean {
    return existsSync(this.file)
  }

  disarm(): void {
    rmSync(this.file, { force: true })
  }
}
