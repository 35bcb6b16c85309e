import { hash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { readFile, realpath, stat } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import type { Exchange } from './exchange.ts'

const CONTENT_TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
}

/** Scripts and styles only from our own files: nothing that a model or a guest says is ever run by the page. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const NOT_BUILT = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>AgentOS</title></head>
<body>
<h1>AgentOS is running</h1>
<p>The page is not built yet. Run <code>npm run build</code> in its folder, then load this page again.</p>
<ul>
<li><a href="/openapi.json">/openapi.json</a>: every route</li>
<li><a href="/ready">/ready</a>: which workers are up</li>
<li><a href="/metrics">/metrics</a>: figures for Prometheus</li>
</ul>
</body></html>
`

/** The files of the page. Nothing outside their folder is ever read. */
export class StaticFiles {
  private readonly folder: string | undefined
  /** Beside `assets`. */
  private readonly names: ReadonlySet<string>

  constructor(folder: string | undefined) {
    this.folder = folder
    this.names = new Set(['/', '/index.html', ...namesIn(folder).map((name) => `/${name}`)])
  }

  /** Is this path the page's, whether or not there is a file? Nobody else answers there. */
  covers(path: string): boolean {
    return this.names.has(path) || path.startsWith('/assets/')
  }

  /** Serves the file of this path; `false` where there is none. */
  async serve(exchange: Exchange): Promise<boolean> {
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD') return false
    const name = exchange.path === '/' ? '/index.html' : exchange.path
    const file = await this.locate(name)
    if (file === undefined) {
      if (exchange.path !== '/') return false
      this.send(exchange, 200, '.html', Buffer.from(NOT_BUILT), false)
      return true
    }
    this.send(exchange, 200, extname(file), await readFile(file), name.startsWith('/assets/'))
    return true
  }

  private async locate(path: string): Promise<string | undefined> {
    if (this.folder === undefined || !/^(\/[A-Za-z0-9_@-][A-Za-z0-9._@-]*)+$/.test(path)) return undefined
    try {
      const root = await realpath(this.folder)
      const file = await realpath(join(root, path))
      // A link must not lead out.
      if (!file.startsWith(root + sep) || !(await stat(file)).isFile()) return undefined
      return file
    } catch {
      return undefined
    }
  }

  private send(exchange: Exchange, status: number, extension: string, body: Buffer, hashed: boolean): void {
    exchange.traced = false
    const etag = `"${hash('sha256', body, 'base64url').slice(0, 22)}"`
    const headers = {
      etag,
      'cache-control': hashed ? 'public, max-age=31536000, immutable' : 'no-cache',
      'content-security-policy': PAGE_POLICY,
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
    }
    if (exchange.header('if-none-match') === etag) return exchange.send(304, headers)
    exchange.send(status, { ...headers, 'content-type': CONTENT_TYPES[extension] ?? 'application/octet-stream' }, body)
  }
}

function namesIn(folder: string | undefined): string[] {
  try {
    return folder === undefined ? [] : readdirSync(folder)
  } catch {
    // Not built yet.
    return []
  }
}
