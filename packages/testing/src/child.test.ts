import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Child } from './child.ts'

let folder: string
const children: Child[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agentos-child-'))
})

afterEach(async () => {
  for (const child of children.splice(0)) await child.kill()
  await rm(folder, { recursive: true })
})

async function script(text: string, env: Record<string, string> = {}): Promise<Child> {
  const path = join(folder, 'script.mjs')
  await writeFile(path, text)
  const child = new Child({
    name: 'script',
    script: path,
    env: { PATH: process.env.PATH ?? '', ...env },
    cwd: folder,
    ready: (self, signal) => self.wrote(/ready/, signal),
  })
  children.push(child)
  return child
}

const PATIENT = `console.log('ready', process.env.WORD, process.pid); setInterval(() => {}, 1000)`

it('is the same again after it was killed', async () => {
  const child = await script(PATIENT, { WORD: 'hello' })
  await child.start()
  const first = child.pid
  await child.kill()
  expect(child.exit).toEqual({ code: null, signal: 'SIGKILL' })
  await child.restart()
  expect(child.pid).not.toBe(first)
  expect(child.output()).toContain(`ready hello ${first}\nready hello ${child.pid}`)
})

it('says what a process wrote that ended instead of getting ready', async () => {
  const child = await script(`console.error('no config'); process.exitCode = 3`)
  await expect(child.start()).rejects.toThrow(/code 3[\s\S]*no config/)
})

it('stops a process by SIGTERM, so that it can say goodbye', async () => {
  const child = await script(`process.on('SIGTERM', () => { console.log('bye'); process.exit(0) }); ${PATIENT}`)
  await child.start()
  await child.stop()
  expect(child.exit).toEqual({ code: 0, signal: null })
  expect(child.output()).toContain('bye')
})
