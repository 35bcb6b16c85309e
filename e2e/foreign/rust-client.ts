import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ForeignClient, MissingToolchain } from './foreign-client.ts'

const run = promisify(execFile)
const BUILD_LIMIT_MS = 600_000

/** `iii-sdk` from crates.io, built by the machine's own toolchain. The build is kept: the first takes minutes. */
export function rustClient(version: string, cache: string): ForeignClient {
  return {
    name: `iii-sdk ${version} for Rust`,
    async prepare() {
      try {
        await run('cargo', ['--version'])
      } catch {
        throw new MissingToolchain('it needs cargo')
      }
      const target = join(cache, 'rust')
      await build(join(import.meta.dirname, 'rust/Cargo.toml'), target)
      return { command: join(target, 'debug/foreign-client'), args: [] }
    },
  }
}

async function build(manifest: string, target: string): Promise<void> {
  const locked = ['--locked', '--quiet', '--manifest-path', manifest, '--target-dir', target]
  try {
    await run('cargo', ['fetch', ...locked.slice(0, 4)], { timeout: BUILD_LIMIT_MS })
  } catch (error) {
    throw new MissingToolchain(`cargo could not fetch it (${lastLine(error)})`)
  }
  await run('cargo', ['build', ...locked], { timeout: BUILD_LIMIT_MS })
}

function lastLine(error: unknown): string {
  const text = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error)
  return text.trim().split('\n').at(-1)?.slice(0, 200) ?? ''
}
