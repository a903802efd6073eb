//! Deployments of a broker, by the command line, and waiting for what becomes of records.

use std::path::Path;

use logmill_client::{Deployed, DeploymentDescription, DeploymentStatus, Error, ErrorCode, World};

use crate::{Broker, Ran, until};

impl Broker {
    /// Creates a topic.
    pub async fn create_topic(&self, topic: &str, partitions: u32) {
        let partitions = partitions.to_string();
        self.logmill(&["topic", "create", topic, "--partitions", &partitions]).await.ok();
    }

    /// Deploys a component with these flags. A component may be of several worlds, so a project
    /// file names the one.
    ///
    /// # Panics
    /// When the broker refuses it.
    pub async fn deploy(
        &self,
        name: &str,
        world: World,
        component: &Path,
        flags: &str,
    ) -> Deployed {
        self.try_deploy(name, world, component, flags).await.ok().json_line()
    }

    /// As [`deploy`](Self::deploy), whatever comes of it.
    ///
    /// # Panics
    /// When the project file can't be written.
    pub async fn try_deploy(&self, name: &str, world: World, component: &Path, flags: &str) -> Ran {
        let project = tempfile::tempdir().unwrap();
        let text = format!("name = {name:?}\nworld = \"{world}\"\ncomponent = {component:?}\n");
        std::fs::write(project.path().join("logmill.toml"), text).unwrap();
        let folder = project.path().to_str().expect("paths here are text");
        let mut args = vec!["module", "deploy", name, folder, "-o", "json"];
        args.extend(flags.split_whitespace());
        self.logmill(&args).await
    }

    /// What a deployment says of itself.
    ///
    /// # Panics
    /// When there is none.
    pub async fn describe(&self, name: &str) -> DeploymentDescription {
        self.admin().await.deployment(name.parse().unwrap()).await.unwrap()
    }

    /// Waits until a deployment works.
    pub async fn running(&self, name: &str) -> DeploymentDescription {
        self.described(name, |it| it.state == DeploymentStatus::Running).await
    }

    /// Waits until every record of its sources has an outcome.
    pub async fn settled(&self, name: &str) -> DeploymentDescription {
        self.described(name, |it| {
            let lag: u64 = it.lanes.iter().map(|lane| lane.lag).sum();
            it.state == DeploymentStatus::Running && !it.lanes.is_empty() && lag == 0
        })
        .await
    }

    /// Waits until this holds of a deployment.
    ///
    /// # Panics
    /// When there is none.
    pub async fn described(
        &self,
        name: &str,
        holds: impl Fn(&DeploymentDescription) -> bool,
    ) -> DeploymentDescription {
        let (admin, deployment) = (self.admin().await, name.parse().unwrap());
        let what = format!("{name} comes to what is waited for");
        until(&what, async || {
            let found = admin.deployment(Clone::clone(&deployment)).await.unwrap();
            holds(&found).then_some(found)
        })
        .await
    }

    /// Whether there is a topic of this name.
    ///
    /// # Panics
    /// When the broker does not say.
    pub async fn has_topic(&self, topic: &str) -> bool {
        match self.admin().await.topic(topic.parse().unwrap()).await {
            Ok(_) => true,
            Err(Error::Refused { code: ErrorCode::UnknownTopic, .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
