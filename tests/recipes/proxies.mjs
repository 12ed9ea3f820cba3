// The real proxies, run from the files of docs/proxies: only ports and the paths of the certificate are put in.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, root, startProcess, temporaryFolder, until } from '../browser/harness/processes.mjs'
import { NAME, ask } from './client.mjs'

/** @typedef {{ port: number, upstream: number, folder: string, cert: string, key: string, pem: string, compress: boolean }} Place */
/** @typedef {{ text: string, program: string, args: string[], env?: Record<string, string> }} Start */

const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
const isRoot = process.getuid?.() === 0

/** @param {string} name */
const recipe = (name) => readFileSync(join(root, 'docs/proxies', name), 'utf8')

/**
 * Puts something in, and insists that it was there.
 * @param {string} text @param {[string, string][]} pairs
 */
function substitute(text, pairs) {
  for (const [from, to] of pairs) {
    if (!text.includes(from)) throw new Error(`the recipe has no '${from}'`)
    text = text.replaceAll(from, to)
  }
  return text
}

/** A certificate that the test makes for itself. @param {string} folder */
function certificate(folder) {
  const [key, cert, pem] = ['key.pem', 'cert.pem', 'both.pem'].map((name) => join(folder, name))
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-keyout', key, '-out', cert, '-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`],
    { stdio: 'pipe' },
  )
  writeFileSync(pem, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
  return { key, cert, pem }
}

const letsEncrypt = `/etc/letsencrypt/live/${NAME}`

/** @type {Record<string, (place: Place) => Start>} */
const starts = {
  nginx: ({ port, upstream, folder, cert, key, compress }) => {
    const text = substitute(recipe('nginx.conf'), [
      ['listen 443 ssl http2;', `listen 127.0.0.1:${port} ssl http2;`],
      ['server 127.0.0.1:8000;', `server 127.0.0.1:${upstream};`],
      [`${letsEncrypt}/fullchain.pem`, cert],
      [`${letsEncrypt}/privkey.pem`, key],
    ])
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')
    const gzip = compress ? 'gzip on; gzip_min_length 1; gzip_types text/event-stream application/json;' : ''
    const file = join(folder, 'nginx.conf')
    return {
      text: `${isRoot ? 'user root;' : ''} daemon off; pid nginx.pid; worker_processes 1; error_log stderr warn;\nevents { worker_connections 256; }\nhttp { access_log off; ${paths} ${gzip}\n${text}\n}\n`,
      program: 'nginx',
      args: ['-p', folder, '-c', file, '-e', 'stderr'],
    }
  },
  caddy: ({ port, upstream, folder, cert, key, compress }) => ({
    text: `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}\n${substitute(recipe('Caddyfile'), [
      [`\n${NAME} {`, `\nhttps://${NAME}:${port} {${compress ? '\n\tencode gzip' : ''}`],
      [`# tls /etc/ssl/${NAME}/fullchain.pem /etc/ssl/${NAME}/privkey.pem`, `tls ${cert} ${key}`],
      ['127.0.0.1:8000', `127.0.0.1:${upstream}`],
    ])}`,
    program: 'caddy',
    args: ['run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')],
    env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
  }),
  apache: ({ port, upstream, folder, cert, key, compress }) => {
    const modules = ['mpm_event', 'authz_core', 'ssl', 'socache_shmcb', 'http2', 'proxy', 'proxy_http', ...(compress ? ['filter', 'deflate'] : [])]
    const text = substitute(recipe('apache.conf'), [
      ['<VirtualHost *:443>', `<VirtualHost 127.0.0.1:${port}>${compress ? '\n    SetOutputFilter DEFLATE' : ''}`],
      ['http://127.0.0.1:8000/', `http://127.0.0.1:${upstream}/`],
      [`${letsEncrypt}/fullchain.pem`, cert],
      [`${letsEncrypt}/privkey.pem`, key],
    ])
    const file = join(folder, 'apache.conf')
    return {
      text: [
        ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
        `ServerRoot ${folder}`, `DefaultRuntimeDir ${folder}`, `PidFile ${folder}/apache.pid`, `ErrorLog ${folder}/error.log`, `ServerName ${NAME}`,
        // What starts as root gives its rights up to somebody.
        ...(isRoot ? ['User www-data', 'Group www-data'] : []),
        `Listen 127.0.0.1:${port}`, text,
      ].join('\n'),
      program: 'apache2',
      args: ['-D', 'FOREGROUND', '-d', folder, '-f', file],
    }
  },
  haproxy: ({ port, upstream, folder, pem, compress }) => ({
    text: `global\n    maxconn 500\n${substitute(recipe('haproxy.cfg'), [
      ['bind :443', `bind 127.0.0.1:${port}`],
      [`/etc/haproxy/certs/${NAME}.pem`, pem],
      ['server halley 127.0.0.1:8000', `server halley 127.0.0.1:${upstream}`],
    ])}${compress ? '    compression algo gzip\n    compression type text/event-stream application/json\n' : ''}`,
    program: 'haproxy',
    args: ['-db', '-f', join(folder, 'haproxy.cfg')],
  }),
}

/** Those that close their connections when they are asked to end; Caddy waits for streams. @type {Record<string, NodeJS.Signals>} */
const ends = { nginx: 'SIGTERM', caddy: 'SIGKILL', apache: 'SIGTERM', haproxy: 'SIGTERM' }

/** @type {Record<string, string>} */
const files = { nginx: 'nginx.conf', caddy: 'Caddyfile', apache: 'apache.conf', haproxy: 'haproxy.cfg' }

export const names = Object.keys(starts)

/**
 * Starts a proxy from its recipe, and waits until it answers.
 * @param {string} name @param {number} upstream @param {{ compress?: boolean }} options `compress`: as many people add it
 */
export async function startProxy(name, upstream, { compress = false } = {}) {
  const folder = temporaryFolder(name)
  const port = await freePort()
  const { text, program, args, env: own = {} } = starts[name]({ port, upstream, folder, compress, ...certificate(folder) })
  writeFileSync(join(folder, files[name]), text)
  // Not every one of them says when it is ready; the port does.
  const running = await startProcess(program, args, { env: { ...env, ...own } })
  const errors = join(folder, 'error.log')
  const log = () => running.log() + (existsSync(errors) ? readFileSync(errors, 'utf8') : '')
  let ended = false
  void running.exited.then(() => (ended = true))
  await until(
    () => {
      if (ended) throw new Error(`${program} ended:\n${log()}`)
      return ask(port, '/healthz').then(({ status }) => status === 200, () => false)
    },
    { what: () => `${program} answers:\n${log()}` },
  )
  return { name, port, log, stop: () => running.stop(ends[name]) }
}
