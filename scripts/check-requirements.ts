import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'

const citation = z
  .string()
  .regex(/^\S+\.(test|contract)\.ts › .+$/, 'of the form "path/of/a.test.ts › name of the test"')

/** `docs/requirements.yaml`: what is promised, and the test that proves it. */
const Requirements = z.array(
  z.strictObject({
    id: z.string().regex(/^[a-z0-9]+([.-][a-z0-9]+)*$/, 'lower-case words with dots or dashes'),
    text: z.string().min(10),
    test: z.union([citation, z.array(citation).min(1)], 'a requirement without a test proves nothing'),
  }),
)

/** Says which requirements have no test, and which cite one that does not exist. */
export async function checkRequirements(root: string, file = join(root, 'docs/requirements.yaml')): Promise<string[]> {
  const listed = parse(await readFile(file, 'utf8')) as { id?: string }[]
  const result = Requirements.safeParse(listed)
  if (!result.success) {
    return result.error.issues.map(({ path: [index, ...rest], message }) => {
      const which = listed[index as number]?.id ?? `entry ${Number(index) + 1}`
      return `${which}: ${rest.join('.')} ${message}`
    })
  }
  const problems: string[] = []
  const seen = new Set<string>()
  for (const { id, test } of result.data) {
    if (seen.has(id)) problems.push(`${id}: stands here twice`)
    seen.add(id)
    for (const cited of [test].flat()) {
      const [path = '', name = ''] = split(cited)
      if (!existsSync(join(root, path))) problems.push(`${id}: there is no file ${path}`)
      else if (!hasTest(await readFile(join(root, path), 'utf8'), name)) {
        problems.push(`${id}: ${path} has no running test named "${name}"`)
      }
    }
  }
  return problems
}

function split(cited: string): [path: string, name: string] {
  const at = cited.indexOf(' › ')
  return [cited.slice(0, at), cited.slice(at + 3)]
}

/** Whether a source file holds a test of that name which is not skipped. Names with placeholders are cited as written. */
export function hasTest(source: string, name: string): boolean {
  const quoted = ["'", '"', '`'].map((quote) => `${quote}${name.replaceAll(quote, `\\${quote}`)}${quote}`)
  return quoted.some((title) => {
    for (let at = source.indexOf(title); at >= 0; at = source.indexOf(title, at + 1)) {
      const before = source.slice(0, at).trimEnd()
      // The line that the call begins with; a table of cases may stand between it and the name.
      const call = before.match(/^[ \t]*(it|test)\b.*$/gm)?.at(-1) ?? ''
      const isName = /(\b(it|test)(\.(only|concurrent|sequential|fails))?|[)\]}`])\s*\($/.test(before)
      if (isName && call !== '' && !/^\s*\w+\.(skip|todo)\b/.test(call)) return true
    }
    return false
  })
}
