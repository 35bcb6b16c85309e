import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bundle, bundleErrors } from './bundle.ts'
import { keepOnly } from './files.ts'

let root: string
const write = async (path: string, text: string) => {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), text)
}
const build = async (entry: string, main = false) => {
  const out = join(root, 'out', 'program.mjs')
  const files = await bundle({ entry, out, main }, root)
  return { files, load: () => import(pathToFileURL(out).href) as Promise<Record<string, unknown>> }
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bundle-'))
})
afterEach(() => rm(root, { recursive: true }))

describe('a bundle', () => {
  it('gives the names of a CommonJS package that is imported late', async () => {
    await write('node_modules/old/package.json', '{ "name": "old", "main": "index.js" }')
    await write(
      'node_modules/old/index.js',
      "const { sep } = require('node:path')\nexports.answer = () => sep.length + 41\n",
    )
    await write('src/a.ts', "export const ask = async () => (await import('old')).answer()\n")
    const { files, load } = await build('src/a.ts')
    expect(files.filter((file) => file.endsWith('.mjs')).length).toBeGreaterThan(1)
    expect(await ((await load()).ask as () => Promise<number>)()).toBe(42)
  })

  it('of a program believes to be the program, though a launcher imports it', async () => {
    await write('src/lib.ts', 'export const inner = import.meta.main\n')
    await write('src/a.ts', "export { inner } from './lib.ts'\nexport const outer = import.meta.main\n")
    expect(await (await build('src/a.ts', true)).load()).toMatchObject({ outer: true, inner: false })
  })

  it('of a worker leaves it to the launcher to run it', async () => {
    await write('src/a.ts', 'export const started = import.meta.main\n')
    expect(await (await build('src/a.ts')).load()).toMatchObject({ started: false })
  })

  it('that does not build names file, line and column', async () => {
    await write('src/a.ts', "\nimport './gone.ts'\n")
    const said = await build('src/a.ts').catch((error: unknown) => bundleErrors(error, root))
    expect(said).toMatch(/^src\/a\.ts:2:8: .*gone\.ts/)
  })
})

describe('a build folder', () => {
  it('loses what no source stands behind any more', async () => {
    await write('out/a.mjs', 'a')
    await write('out/b.mjs', 'b')
    await keepOnly(join(root, 'out'), new Set([join(root, 'out/a.mjs')]))
    expect(await readdir(join(root, 'out'))).toEqual(['a.mjs'])
  })
})
