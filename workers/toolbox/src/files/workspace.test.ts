import { execFile } from 'node:child_process'
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fileRead, fileWrite } from '@agentos/contracts/toolbox'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Workspace } from './workspace.ts'

const REALM = 'realm-default'
let outside: string
let root: string
let files: Workspace

beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), 'agentos-outside-'))
  await writeFile(join(outside, 'secret.txt'), 'SECRET')
  root = join(outside, 'workspace')
  files = new Workspace(root, 1_000)
})
afterEach(() => rm(outside, { recursive: true }))

const read = async (path: string, more: object = {}, realm = REALM) =>
  files.read(realm, fileRead.input().parse({ path, ...more }))
const write = async (path: string, content: string, more: object = {}, realm = REALM) =>
  files.write(realm, fileWrite.input().parse({ path, content, ...more }))
const failure = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no failure',
    (error: { code?: string }) => error.code ?? String(error),
  )
const tree = async () => (await readdir(outside, { recursive: true })).sort()

/** Every way to write a step up, and every way to write a separator. */
function traversals(): string[] {
  const ups = [
    ...['..', '%2e%2e', '%2E%2e', '.%2e', '%252e%252e', '%c0%ae%c0%ae', '%u002e%u002e', '..%00', '..\0', '\u202e..'],
    ...['．．', '‥', '․․', '﹒﹒', '.\u200b.', '.. ', ' ..', '...', '..;', '.', '..\u0301'.slice(0, 2), '....'],
  ]
  const separators = ['/', '\\', '%2f', '%5c', '%252f', '%c0%af', '／', '∕', '⁄', '＼', '//', '/./']
  const whole = ups.flatMap((up) =>
    separators.flatMap((separator) => [
      `${up}${separator}secret.txt`,
      `${up}${separator}${up}${separator}secret.txt`,
      `notes${separator}${up}${separator}${up}${separator}${up}${separator}secret.txt`,
    ]),
  )
  const odd = [
    ...[
      '..',
      '.',
      '/',
      '//',
      './',
      '~/secret.txt',
      '~root/x',
      'file:///etc/passwd',
      'C:\\secret.txt',
      'C:/x',
      'a/',
      '/a',
    ],
    ...['a//b', 'a\0', 'a\0.txt', 'a\nb', 'a/../../../secret.txt', 'a/..', `${'a/'.repeat(40)}b`, 'x'.repeat(256)],
    ...['secret.txt\u202etxt', '\ufeffa', 'a /b', 'a./b', '\ud800', 'a\\b', '\\\\server\\share', '/proc/self/environ'],
  ]
  // `..;` is a plain name where nothing decodes it.
  return [...whole, ...odd].filter((path) => !/^(?:notes\/)?(?:\.\.;\/)+secret\.txt$/.test(path))
}

describe('a path that leads out', () => {
  it('is refused in every spelling, for reading and for writing', async () => {
    const attacks = [...traversals(), join(outside, 'secret.txt')]
    expect(attacks.length).toBeGreaterThan(700)
    await write('notes/a.txt', 'a')
    const before = await tree()
    const wrong: string[] = []
    for (const path of attacks) {
      if ((await failure(read(path))) !== 'forbidden') wrong.push(`read ${JSON.stringify(path)}`)
      if ((await failure(write(path, 'x'))) !== 'forbidden') wrong.push(`write ${JSON.stringify(path)}`)
    }
    expect(wrong).toEqual([])
    expect(await tree()).toEqual(before)
  })

  it('is refused through symbolic links, at the end and in the middle', async () => {
    await write('a/real.txt', 'x')
    const folder = join(root, REALM)
    await symlink(join(outside, 'secret.txt'), join(folder, 'file-link'))
    await symlink('../../secret.txt', join(folder, 'relative-link'))
    await symlink(outside, join(folder, 'folder-link'))
    await symlink(join(outside, 'new.txt'), join(folder, 'dangling'))
    await symlink(folder, join(folder, 'a', 'loop'))
    await symlink('real.txt', join(folder, 'a', 'inner-link'))
    const attacks = [
      ...['file-link', 'relative-link', 'folder-link', 'folder-link/secret.txt', 'folder-link/new/x.txt', 'dangling'],
      ...['a/loop/a/real.txt', 'a/inner-link'],
    ]
    for (const path of attacks) {
      expect([path, await failure(read(path)), await failure(write(path, 'x'))]).toEqual([
        path,
        'forbidden',
        'forbidden',
      ])
    }
    expect(await readFile(join(outside, 'secret.txt'), 'utf8')).toBe('SECRET')
    expect((await readdir(outside)).sort()).toEqual(['secret.txt', 'workspace'])
  })

  it('is refused where the folder of the realm is itself a link', async () => {
    await mkdir(root, { recursive: true })
    await symlink(outside, join(root, REALM))
    expect(await failure(read('secret.txt'))).toBe('forbidden')
    expect(await failure(write('secret.txt', 'x'))).toBe('forbidden')
  })

  it('is refused through hard links, pipes and folders', async () => {
    await write('a.txt', 'x')
    await link(join(outside, 'secret.txt'), join(root, REALM, 'hard'))
    await promisify(execFile)('mkfifo', [join(root, REALM, 'pipe')])
    await mkdir(join(root, REALM, 'folder'))
    for (const path of ['hard', 'pipe', 'folder', 'a.txt/b']) {
      expect([path, await failure(read(path)), await failure(write(path, 'x'))]).toEqual([
        path,
        'forbidden',
        'forbidden',
      ])
    }
    expect(await readFile(join(outside, 'secret.txt'), 'utf8')).toBe('SECRET')
  })

  it('is never gone while folders are swapped for links in between', async () => {
    const folder = join(root, REALM)
    await write('swap/secret.txt', 'mine')
    await symlink(outside, join(folder, 'link'))
    let swapping = true
    const swapper = (async () => {
      const at = (name: string) => join(folder, name)
      while (swapping) {
        try {
          await rename(at('swap'), at('aside'))
          await rename(at('link'), at('swap'))
          await rename(at('swap'), at('link'))
          await rename(at('aside'), at('swap'))
        } catch {
          // A writer made the folder anew meanwhile.
          await rm(at('swap'), { recursive: true, force: true, maxRetries: 20 })
          await rename(at('aside'), at('swap')).catch(() => {})
          await symlink(outside, at('link')).catch(() => {})
        }
      }
    })()
    const seen = new Set<string>()
    for (let round = 0; round < 300; round += 1) {
      seen.add(
        await read('swap/secret.txt').then(
          ({ content }) => content,
          (error) => error.code,
        ),
      )
      seen.add(
        await write('swap/secret.txt', 'mine').then(
          () => 'written',
          (error) => error.code,
        ),
      )
    }
    swapping = false
    await swapper
    expect(
      [...seen].filter((what) => !['mine', 'written', 'forbidden', 'not_found', 'undefined'].includes(what)),
    ).toEqual([])
    expect(seen).toContain('mine')
    expect(await readFile(join(outside, 'secret.txt'), 'utf8')).toBe('SECRET')
    expect((await readdir(outside)).sort()).toEqual(['secret.txt', 'workspace'])
  })

  it('does not lead to another realm', async () => {
    await write('a.txt', 'theirs', {}, 'realm-other')
    expect(await failure(read('a.txt'))).toBe('not_found')
    for (const realm of ['..', '.', '', 'a/b', '../realm-other'])
      expect(await failure(read('a.txt', {}, realm))).toBe('forbidden')
  })
})

describe('files', () => {
  it('are written whole, in folders that are made, and read again', async () => {
    const written = await write('notes/2026/a.md', 'grüße')
    expect(written).toMatchObject({ path: 'notes/2026/a.md', size: 7, created: true })
    expect(await read('notes/2026/a.md')).toMatchObject({ content: 'grüße', hash: written.hash, truncated: false })
    expect(await write('notes/2026/a.md', 'other')).toMatchObject({ created: false })
    expect(await readdir(join(root, REALM, 'notes/2026'))).toEqual(['a.md'])
    expect(await failure(read('notes/none.md'))).toBe('not_found')
    expect(await failure(read('none/none.md'))).toBe('not_found')
  })

  it('are read in parts that end between characters', async () => {
    await write('a', 'aü€😀b')
    let [text, offset, parts] = ['', 0, 0]
    for (let next: number | null = 0; next !== null; parts += 1) {
      const part = await read('a', { offset, maxBytes: 5 })
      text += part.content
      next = part.nextOffset
      offset = next ?? offset
    }
    expect([text, parts]).toEqual(['aü€😀b', 3])
  })

  it('carry bytes as base64', async () => {
    const content = Buffer.from([0, 255, 1, 254]).toString('base64')
    await write('b', content, { encoding: 'base64' })
    expect(await read('b', { encoding: 'base64' })).toMatchObject({ content, size: 4 })
    expect(await failure(write('b', 'not base64!', { encoding: 'base64' }))).toBe('invalid_input')
  })

  it('keep the mode that their owner gave them', async () => {
    await write('run.sh', 'old')
    for (const mode of [0o750, 0o644, 0o666]) {
      await chmod(join(root, REALM, 'run.sh'), mode)
      await write('run.sh', `new ${mode}`)
      expect((await stat(join(root, REALM, 'run.sh'))).mode & 0o777).toBe(mode)
    }
    await write('mine', 'x')
    expect((await stat(join(root, REALM, 'mine'))).mode & 0o777).toBe(0o600)
  })

  it('are left alone where their owner made them read-only', async () => {
    const { hash } = await write('a', 'kept')
    await chmod(join(root, REALM, 'a'), 0o444)
    await expect(write('a', 'lost', { expectedHash: hash })).rejects.toMatchObject({
      code: 'forbidden',
      details: { reason: 'read_only' },
    })
    expect(await read('a')).toMatchObject({ content: 'kept' })
    expect(await readdir(join(root, REALM))).toEqual(['a'])
  })

  it.each([
    ['Latin-1', Buffer.from('Grüße', 'latin1')],
    ['UTF-16', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('Grüße 😀', 'utf16le')])],
    ['UTF-8 that is cut off', Buffer.from('Grü').subarray(0, 3)],
    ['no text', Buffer.from([0, 255, 1, 254])],
  ])('that are not UTF-8 are answered as base64, and not destroyed: %s', async (_what, bytes) => {
    await write('a', '')
    await writeFile(join(root, REALM, 'a'), bytes)
    const found = await read('a')
    expect(found).toMatchObject({ encoding: 'base64', content: bytes.toString('base64'), truncated: false })
    // What was read, or made of it, and comes back as text would take the place of the bytes.
    for (const content of [found.content, bytes.toString('utf8')]) {
      await expect(write('a', content, { expectedHash: found.hash })).rejects.toMatchObject({
        code: 'conflict',
        details: { reason: 'not_utf8' },
      })
    }
    expect(await readFile(join(root, REALM, 'a'))).toEqual(bytes)
    await write('a', found.content, { encoding: found.encoding })
    expect(await readFile(join(root, REALM, 'a'))).toEqual(bytes)
    await write('a', Buffer.from('now it is text: ü').toString('base64'), { encoding: 'base64' })
    expect(await write('a', 'and can be written')).toMatchObject({ created: false })
  })

  it('that are not UTF-8 are read in parts by their bytes', async () => {
    const bytes = Buffer.from('Straße und Grüße', 'latin1')
    await write('a', bytes.toString('base64'), { encoding: 'base64' })
    const parts: Buffer[] = []
    for (let next: number | null = 0; next !== null; ) {
      const part = await read('a', { offset: next, maxBytes: 5 })
      parts.push(Buffer.from(part.content, part.encoding))
      next = part.nextOffset
    }
    expect(Buffer.concat(parts)).toEqual(bytes)
  })

  it('are read from the character that an offset leads into', async () => {
    await write('a', 'aü€😀b')
    const contents = await Promise.all(
      [0, 1, 2, 3, 4, 5, 6, 8, 9, 10].map(async (offset) => (await read('a', { offset })).content),
    )
    expect(contents).toEqual(['aü€😀b', 'ü€😀b', 'ü€😀b', '€😀b', '€😀b', '€😀b', '😀b', '😀b', '😀b', 'b'])
  })

  it('are changed only where they are what the writer has read', async () => {
    const { hash } = await write('a', '1', { expectedHash: null })
    expect(await failure(write('a', '2', { expectedHash: null }))).toBe('version_conflict')
    expect(await failure(write('none', '2', { expectedHash: hash }))).toBe('version_conflict')
    const both = await Promise.all(['2', '3'].map((text) => failure(write('a', text, { expectedHash: hash }))))
    expect(both.sort()).toEqual(['no failure', 'version_conflict'])
  })

  it('are within the limit', async () => {
    expect(await failure(write('a', 'x'.repeat(1_001)))).toBe('payload_too_large')
    await write('a', 'x')
    await writeFile(join(root, REALM, 'a'), 'x'.repeat(1_001))
    expect(await failure(read('a'))).toBe('payload_too_large')
    await unlink(join(root, REALM, 'a'))
  })
})
