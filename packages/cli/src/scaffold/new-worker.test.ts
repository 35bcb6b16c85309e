import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { parseManifest } from '../../../../scripts/manifest.ts'
import { createWorker } from './new-worker.ts'
import { workerFiles } from './templates.ts'

let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'agentos-scaffold-'))
  const files = {
    'packages/sdk/package.json': '{"dependencies":{"zod":"4.6.7"}}',
    'node_modules/zod/package.json': '{}',
  }
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, file)), { recursive: true })
    writeFileSync(join(home, file), text)
  }
})

describe('agentos new worker', () => {
  it('writes the standard shape', () => {
    const folder = createWorker(home, 'weather')
    expect(readdirSync(folder).sort()).toEqual(['README.md', 'iii.worker.yaml', 'node_modules', 'package.json', 'src'])
    expect(readdirSync(join(folder, 'src')).sort()).toEqual([
      'contracts.ts',
      'greeting.test.ts',
      'greeting.ts',
      'worker.test.ts',
      'worker.ts',
    ])
    expect(readFileSync(join(folder, 'src/contracts.ts'), 'utf8')).toContain("http: 'GET /v1/weather/greet'")
  })

  it('writes a manifest that the specification accepts and that names the function of its contract', () => {
    const files = workerFiles('weather', { zod: '4.6.7' })
    const manifest = parseManifest(files['iii.worker.yaml'] as string, 'iii.worker.yaml')
    expect(manifest).toMatchObject({ name: 'weather', functions: ['weather::greet'] })
    expect(files['src/contracts.ts']).toContain("id: 'weather::greet'")
  })

  it('links what an install would link, so that it runs before the next one', () => {
    const folder = createWorker(home, 'weather')
    expect(realpathSync(join(folder, 'node_modules/@agentos/sdk'))).toBe(realpathSync(join(home, 'packages/sdk')))
    expect(realpathSync(join(folder, 'node_modules/zod'))).toBe(realpathSync(join(home, 'node_modules/zod')))
  })

  it('keeps the author’s own part at twenty lines', () => {
    const files = workerFiles('weather', { zod: '4.6.7' })
    const own = ['src/contracts.ts', 'src/greeting.ts', 'src/worker.ts'].flatMap(
      (file) => files[file]?.split('\n') ?? [],
    )
    const thought = own.filter((line) => line.trim() !== '' && !/^(import|if \(import)/.test(line))
    expect(thought.length).toBeLessThanOrEqual(20)
  })

  it.each(['Weather', '9lives', '../x', '', 'engine', 'a b'])('refuses the name “%s” and writes nothing', (name) => {
    expect(() => createWorker(home, name)).toThrow()
    expect(existsSync(join(home, 'workers'))).toBe(false)
  })

  it('never overwrites a worker', () => {
    createWorker(home, 'weather')
    expect(() => createWorker(home, 'weather')).toThrow(/is there already/)
    expect(readdirSync(home).filter((name) => name.startsWith('.new'))).toEqual([])
  })
})
