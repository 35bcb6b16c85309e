import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'

let parent: ChildProcess | undefined
let orphan: number | undefined

afterEach(() => {
  parent?.kill('SIGKILL')
  if (orphan !== undefined && isAlive(orphan)) process.kill(orphan, 'SIGKILL')
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

it.each(['SIGKILL', 'SIGTERM'] as const)('ends children whose parent was ended by %s', async (signal) => {
  const reaper = join(import.meta.dirname, 'reaper.ts')
  const code = `
    import { spawn } from 'node:child_process'
    const { reap } = await import(${JSON.stringify(reaper)})
    const gone = spawn('true'); reap(gone)
    const child = spawn('sleep', ['600'], { stdio: 'ignore' }); reap(child)
    console.log(child.pid)
    setInterval(() => {}, 1000)
  `
  parent = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(parent.stdout!, 'data')) as [Buffer]
  orphan = Number(line.toString())
  expect(isAlive(orphan)).toBe(true)
  parent.kill(signal)
  await expect.poll(() => isAlive(orphan!), { timeout: 20_000 }).toBe(false)
})
