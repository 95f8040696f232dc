// The description of the HTTP interface: for programs that make clients of it (Swagger 2.0, as Choria's service has it), and
// as a page for people, made of the same.

import type { Route } from './route.ts';

const text = (description: string) => ({ type: 'string', description });
const bytes = (description: string) => ({ type: 'string', format: 'byte', description });

const definitions = {
  LoginRequest: {
    username: text('Who logs in'),
    password: text('Password, with the code of a second factor behind it where there is one'),
    timestamp: text('Seconds since 1970, as a text'),
    public_key: text('Ed25519 key that the token is for, hex'),
    signature: text('By that key over timestamp:username:password, hex'),
  },
  LoginResponse: { token: text('JSON Web Token of the user'), error: text('Why there is none') },
  SignRequest: {
    token: text('What a login gave'),
    request: bytes('Request of Choria protocol v1 or v2'),
    signature: text('By the key of the token over the bytes of the request, hex'),
  },
  SignResponse: {
    secure_request: bytes('The request with a signature that nodes take'),
    error: text('Why there is none'),
    reason: text("What the user's policy misses; Muster's own"),
  },
};

function call(summary: string, name: 'Login' | 'Sign') {
  const json = ['application/json'];
  const schema = (kind: string) => ({ $ref: `#/definitions/${name}${kind}` });
  return {
    post: {
      summary,
      consumes: json,
      produces: json,
      parameters: [{ in: 'body', name: 'request', required: true, schema: schema('Request') }],
      responses: { 200: { description: 'What came of it, also where it was refused', schema: schema('Response') } },
    },
  };
}

const paths = { '/login': call('Logs a user in', 'Login'), '/sign': call('Signs a request of a user', 'Sign') };
const info = { title: 'Muster AAA service', description: 'Logins, and signatures over requests of users', version: '1.0.0' };
const basePath = '/choria/v1';

export function descriptionRoutes(): Route[] {
  const body = {
    swagger: '2.0',
    info,
    basePath,
    schemes: ['https', 'http'],
    paths,
    definitions: Object.fromEntries(
      Object.entries(definitions).map(([name, properties]) => [name, { type: 'object', properties }]),
    ),
  };
  const page = pageText();
  return [
    { method: 'GET', path: '/swagger.json', handle: async () => ({ status: 200, body }) },
    { method: 'GET', path: `${basePath}/docs`, type: 'text/html', handle: async () => ({ status: 200, body: page }) },
  ];
}

/** All of it is text of this file. */
function pageText(): string {
  const table = (name: keyof typeof definitions) => {
    const rows = Object.entries(definitions[name]).map(
      ([key, { description }]) => `<tr><td><code>${key}</code></td><td>${description}</td></tr>`,
    );
    return `<table>${rows.join('')}</table>`;
  };
  const calls = Object.entries(paths).map(([path, { post }]) => {
    const name = path === '/login' ? 'Login' : 'Sign';
    const asked = `<h3>Body</h3>${table(`${name}Request`)}`;
    const answered = `<h3>Answer, with status 200 also where it is refused</h3>${table(`${name}Response`)}`;
    return `<section><h2>POST ${basePath}${path}</h2><p>${post.summary}.</p>${asked}${answered}</section>`;
  });
  const style = 'body{font:1rem/1.5 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}td{padding:.2rem 1rem .2rem 0}';
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${info.title}</title><style>${style}</style></head><body>`,
    `<h1>${info.title}</h1><p>${info.description}. Bodies are JSON objects of texts. For programs: <a href="/swagger.json">swagger.json</a>.</p>`,
    ...calls,
    '</body></html>\n',
  ].join('\n');
}
