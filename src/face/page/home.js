import { html, Page, Loading } from './ui.js';
export default function Home({ status }) {
  return html`<${Page} title="Home">${status ? status.summary : html`<${Loading} />`}<//>`;
}
