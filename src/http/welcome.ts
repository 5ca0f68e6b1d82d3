// What somebody sees who opens the directory's address. spec/http.md#welcome

import { TYPES, type Answer, type Call } from './answer.ts'
import { logKeys } from './tlog.ts'

/** What is said of an endpoint. */
export interface Endpoint {
  readonly method: string
  readonly path: string
  readonly summary: string
}

/** GET / */
export async function getWelcome({ ports, accepts }: Call, routes: readonly Endpoint[]): Promise<Answer> {
  const { origin, version, tip } = ports
  const endpoints = routes.map(({ method, path, summary }) => ({ method, path, summary }))
  const welcome = { origin, version, vkeys: await logKeys(ports), size: tip.durable, published: tip.published, endpoints }
  const headers = { Vary: 'Accept' }
  if (accepts('application/json', 'text/html') !== 'text/html') return { type: TYPES.json, body: JSON.stringify(welcome), headers }
  return { type: TYPES.html, body: page(welcome), headers: { ...headers, 'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'" } }
}

interface Welcome {
  readonly origin: string
  readonly version: string
  readonly vkeys: readonly string[]
  readonly size: number
  readonly published: number
  readonly endpoints: readonly Endpoint[]
}

function page({ origin, version, vkeys, size, published, endpoints }: Welcome): string {
  const rows = endpoints.map(({ method, path, summary }) => `<tr><td><code>${escape(method)} ${escape(path)}</code></td><td>${escape(summary)}</td></tr>`)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(origin)}</title>
<style>body{font:1em/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}code{overflow-wrap:anywhere}td{padding:.2em 1em .2em 0;vertical-align:top}</style>
<h1>${escape(origin)}</h1>
<p>A did:plc identity directory with a transparency log. Stele ${escape(version)}, ${size} entries, ${published} of them under a published checkpoint.</p>
${vkeys.map((vkey) => `<p>Key of the log: <code>${escape(vkey)}</code></p>`).join('\n')}
<table>
${rows.join('\n')}
</table>
</html>
`
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
