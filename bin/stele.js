#!/usr/bin/env node
// The command. Runs on an old Node just far enough to hand over to a new one, or to say what to do, hence the plain
// syntax. In a checkout the program is TypeScript, in a package it is what was built from it. README.md#run-one

import { spawn } from 'child_process'
import { existsSync, mkdirSync, realpathSync } from 'fs'
import module from 'module'
import { constants, homedir } from 'os'
import { join } from 'path'
import { fileURLToPath } from 'url'

var NEEDED = 24
var SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

var major = Number(process.versions.node.split('.')[0])
var own = ownNode()
if (major >= NEEDED) run()
else if (own !== null) handOver(own)
else refuse()

function run() {
  keepCompiled()
  var source = new URL('../src/cli/main.ts', import.meta.url)
  var program = existsSync(fileURLToPath(source)) ? source : new URL('../dist/cli/main.js', import.meta.url)
  import(program.href)
    .then(function (module) {
      return module.main(process.argv.slice(2))
    })
    .then(
      function (code) {
        process.exitCode = code
      },
      function (error) {
        process.stderr.write('error: stele cannot be loaded: ' + error.message + '\n')
        process.exitCode = 1
      },
    )
}

// What was compiled once starts in half the time. Kept where only the user writes (Node's default is a folder of the machine),
// and only where folders can be made one by one: on some file systems Node tries for ever to make several.
function keepCompiled() {
  if (!module.enableCompileCache) return
  var base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  var folder = join(base, 'stele')
  try {
    if (!existsSync(base)) mkdirSync(base, 448)
    if (!existsSync(folder)) mkdirSync(folder, 448)
    module.enableCompileCache(folder)
  } catch {
    // It is only slower.
  }
}

// The Node that `npm ci` brings into a checkout, or null.
function ownNode() {
  var names = ['../node_modules/node/bin/node', '../node_modules/node/bin/node.exe']
  for (var i = 0; i < names.length; i++) {
    var path = fileURLToPath(new URL(names[i], import.meta.url))
    // An old one that was installed here by hand is no help, and would hand over to itself for ever.
    if (existsSync(path) && realpathSync(path) !== realpathSync(process.execPath)) return path
  }
  return null
}

// As if this process had become the other one: same streams, same signals, same end.
function handOver(node) {
  var child = spawn(node, process.execArgv.concat([fileURLToPath(import.meta.url)], process.argv.slice(2)), { stdio: 'inherit' })
  SIGNALS.forEach(function (signal) {
    process.on(signal, function () {
      child.kill(signal)
    })
  })
  child.on('error', function (error) {
    process.stderr.write('error: ' + node + ' does not start: ' + error.message + '\n')
    process.exit(1)
  })
  child.on('exit', function (code, signal) {
    process.exit(signal === null ? code : 128 + constants.signals[signal])
  })
}

function refuse() {
  process.stderr.write(
    'error: stele needs Node ' + NEEDED + ' or newer, and this is ' + process.version + '. ' +
      'In a checkout, `npm ci` brings its own Node: run it, then `npx stele` or `npm run stele --`.\n',
  )
  process.exit(1)
}
