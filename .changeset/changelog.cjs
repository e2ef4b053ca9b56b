/**
 * How a changeset reads in a CHANGELOG: its text, no more. All packages have one version, so that a list of dependencies which are newer too says nothing;
 * and a commit's number means nothing to somebody who came by npm.
 */
module.exports = {
  async getReleaseLine({ summary }) {
    const [first, ...more] = summary.trim().split("\n");
    return `- ${[first, ...more.map((line) => (line.trim() === "" ? "" : `  ${line}`))].join("\n")}\n`;
  },
  async getDependencyReleaseLine() { return ""; },
};
