import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { install } from './installation.ts'

let dist: string
const places = new Set<string>()

beforeEach(async () => {
  dist = await mkdtemp(join(tmpdir(), 'agentos-dist-'))
  const files = [
    'engine.mjs',
    'engine-main.mjs.map',
    '.cache/code/x.mjs',
    'console/index.html',
    ...['memory', 'memory-index'].flatMap((name) => [
      `workers/${name}.mjs`,
      `workers/${name}.json`,
      `bundles/${name}.mjs`,
      `bundles/${name}-ABCD2345.mjs`,
    ]),
  ]
  for (const file of files) {
    await mkdir(dirname(join(dist, file)), { recursive: true })
    await writeFile(join(dist, file), dist)
  }
})

afterEach(async () => {
  for (const place of places) await rm(place, { recursive: true })
  places.clear()
  await rm(dist, { recursive: true })
})

async function installed(...workers: string[]): Promise<{ place: string; files: string[] }> {
  const place = await install(dist, workers)
  places.add(place)
  const entries = await readdir(place, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return { place, files: files.map((file) => file.slice(place.length + 1)).sort() }
}

it('has the engine, the page and the named workers, and nothing of the others', async () => {
  expect((await installed('memory')).files).toEqual([
    'bundles/memory-ABCD2345.mjs',
    'bundles/memory.mjs',
    'console/index.html',
    'engine.mjs',
    'workers/memory.json',
    'workers/memory.mjs',
  ])
  expect((await installed()).files).toEqual(['console/index.html', 'engine.mjs'])
})

it('is made once for one build, and anew for the next', async () => {
  const { place } = await installed('memory')
  expect((await installed('memory')).place).toBe(place)
  await writeFile(join(dist, 'engine.mjs'), 'another build')
  expect((await installed('memory')).place).not.toBe(place)
})

it('names what is not built', async () => {
  await expect(install(dist, ['unknown'])).rejects.toThrow('The worker unknown is not built')
  await expect(install(join(dist, 'console'), [])).rejects.toThrow('run npm run build first')
})
