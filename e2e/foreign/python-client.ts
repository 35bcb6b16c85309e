import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ForeignClient, MissingToolchain } from './foreign-client.ts'

const run = promisify(execFile)
const INSTALL_LIMIT_MS = 180_000

/** `iii-sdk` from PyPI in an environment of its own. */
export function pythonClient(version: string, cache: string): ForeignClient {
  const environment = join(cache, `python-${version}`)
  const python = join(environment, 'bin/python')
  return {
    name: `iii-sdk ${version} for Python`,
    async prepare() {
      if (!(await isInstalled(python))) await install(environment, version)
      return {
        command: python,
        args: [join(import.meta.dirname, 'python/client.py')],
        env: { PYTHONWARNINGS: 'ignore' },
      }
    },
  }
}

async function isInstalled(python: string): Promise<boolean> {
  try {
    await access(python)
    await run(python, ['-c', 'import iii'])
    return true
  } catch {
    return false
  }
}

async function install(environment: string, version: string): Promise<void> {
  try {
    await run('python3', ['-c', 'import sys, venv; assert sys.version_info >= (3, 10)'])
    await run('python3', ['-m', 'venv', '--clear', environment])
  } catch {
    throw new MissingToolchain('it needs Python 3.10 or later with venv')
  }
  const pip = ['-m', 'pip', '--disable-pip-version-check', '--quiet', 'install', `iii-sdk==${version}`]
  try {
    await run(join(environment, 'bin/python'), pip, { timeout: INSTALL_LIMIT_MS })
  } catch (error) {
    const lines = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n') : []
    throw new MissingToolchain(`pip could not bring it (${lines.at(-1)?.slice(0, 200) ?? String(error)})`)
  }
}
