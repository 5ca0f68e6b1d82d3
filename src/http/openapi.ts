// The description of the API for programs: spec/openapi.yaml, as JSON. spec/http.md#endpoints

import { readFile } from 'node:fs/promises'
import { TYPES, type Answer } from './answer.ts'
import { Refusal } from './error-response.ts'

/** GET /openapi.json */
export async function getDescription(): Promise<Answer> {
  description ??= readDescription(DESCRIPTION)
  const body = await description
  if (body === null) throw new Refusal('NO_DESCRIPTION')
  return { type: TYPES.json, body }
}

/** The YAML file at `url` as JSON; null where there is none. Throws where it cannot be read. */
export async function readDescription(url: URL): Promise<string | null> {
  // Loaded by those who are asked for it.
  const { parse } = await import('yaml')
  try {
    return JSON.stringify(parse(await readFile(url, 'utf8')))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** Beside `src/` in a checkout, beside `dist/` in a package. */
const DESCRIPTION = new URL('../../spec/openapi.yaml', import.meta.url)

// It does not change while the process runs.
let description: Promise<string | null> | null = null
