import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { expandHome } from '@agentos/sdk'
import * as z from 'zod'

/** `config:` of the worker's entry in config.yaml. */
export const Settings = z.strictObject({
  /** Folder of the files, one folder in it per realm; `~/x` is in the home folder. @default `workspace` beside config.yaml */
  workspace: z.string().min(1).optional(),
  /** Largest file, in bytes. */
  max_file_bytes: z.number().int().min(1).max(10_000_000).default(5_000_000),
  /** Where any are given, only these hosts are reached: `example.com`, or `*.example.com` for those below it. */
  allow_hosts: z.array(z.string().min(1)).default([]),
  /** Addresses that are not public and may be reached: `10.0.0.0/8`, `192.168.1.7`, `127.0.0.1:8080`, `[fd00::1]:80`. */
  allow_private: z.array(z.string().min(1)).default([]),
  /** Ports of public addresses that may be reached. */
  allow_ports: z.array(z.number().int().min(1).max(65_535)).default([80, 443]),
  /** Most that is read of an answer, unpacked, in bytes. */
  max_body_bytes: z.number().int().min(1_000).max(32_000_000).default(2_000_000),
  /** For a request with its redirects. */
  timeout_ms: z.number().int().min(100).max(120_000).default(20_000),
  max_redirects: z.number().int().min(0).max(20).default(5),
  /** Recipients of one mail. */
  max_recipients: z.number().int().min(1).max(50).default(10),
})
export type Settings = z.output<typeof Settings>

/** Where the installation is. */
export interface Environment {
  root: string
  smtpUrl: string | undefined
  mailFrom: string | undefined
}

/** Blank values count as unset. */
export function readEnvironment(env: NodeJS.ProcessEnv = process.env): Environment {
  const read = (name: string) => env[name]?.trim() || undefined
  return { root: read('AGENTOS_ROOT') ?? process.cwd(), smtpUrl: read('SMTP_URL'), mailFrom: read('MAIL_FROM') }
}

export function workspaceOf(settings: Settings, root: string): string {
  return resolve(root, expandHome(settings.workspace ?? 'workspace', homedir()))
}
