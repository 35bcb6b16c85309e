import { AgentError } from '@agentos/sdk'

const MAX_DEPTH = 32
const MAX_NAME_BYTES = 255
/** What stands for a slash or a dot in the eyes of a reader or of some later program. */
const LOOKALIKES = /[\u2024\u2025\u2026\u2044\u2215\u2216\u29f5\u29f8\u29f9\ufe52\ufe68\uff0e\uff0f\uff3c]/

/** The names on the way to a file. Everything is refused that some program may read as a way out. */
export function readPath(path: string): string[] {
  const problem = problemOf(path)
  if (problem) {
    throw new AgentError('forbidden', `The path ${problem}; write it relative to the workspace, as notes/today.md`, {
      details: { reason: 'path', path: path.slice(0, 200) },
    })
  }
  return path.normalize('NFC').split('/')
}

function problemOf(path: string): string | undefined {
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(path)) return 'has invisible characters'
  if (path.startsWith('/') || /^[a-z][a-z0-9+.-]*:/i.test(path)) return 'is absolute'
  if (path.startsWith('~')) return 'begins with ~'
  if (path.includes('\\')) return 'has a backslash'
  if (/%(?:[0-9a-f]{2}|u[0-9a-f]{4})/i.test(path)) return 'is percent-encoded'
  if (LOOKALIKES.test(path)) return 'has characters that look like a dot or a slash'
  const names = path.normalize('NFKC').split('/')
  if (names.some((name) => name === '..' || name === '.')) return 'has . or .. in it'
  // Trailing dots and spaces are dropped by some systems: `.. ` and `...` are then `..`.
  if (names.some((name) => /^[.\s]+$/.test(name) || /[.\s]$/.test(name) || name !== name.trimStart())) {
    return 'has a name that begins with a space or ends with a dot or a space'
  }
  if (names.some((name) => name === '')) return 'has an empty name'
  if (names.length > MAX_DEPTH) return `is deeper than ${MAX_DEPTH} folders`
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) return 'has a name that is too long'
  return undefined
}
